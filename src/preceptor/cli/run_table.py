"""A finished run in the terminal."""

from preceptor.core.numbers import estimate
from preceptor.display.screen import clock
from preceptor.display.table import Column, Table
from preceptor.evaluation.result import Evaluation
from preceptor.evaluation.snapshot import MeasureName
from preceptor.reports.run.page import headline, judge_doubts, warnings
from preceptor.results.run import RunSummary
from preceptor.runs.directory import RunDirectory

_MEASURES: dict[MeasureName, str | None] = {
    "heldout_score": "held-out score",
    "judge_score": None,  # the summary says what it is
    "kl": "KL to the base, nats",
    "reference_perplexity": "perplexity on references",
    "distinct_2": "distinct-2",
    "tokens_mean": "tokens per response",
}


def run_text(summary: RunSummary, directory: RunDirectory) -> str:
    """A finished run's table, and where its model and report are."""
    files = (("model", directory.best), ("merged", directory.merged), ("report", directory.report))
    places = [f"{name:7}{path}" for name, path in files if path.exists()]
    return "\n".join([str(run_table(summary, directory.read_evaluation())), *places])


def run_table(summary: RunSummary, evaluation: Evaluation | None) -> Table:
    """What a run measured, before training and after."""
    before, after = summary.evaluation.before, summary.evaluation.after
    names: dict[MeasureName, str | None] = {**_MEASURES, "judge_score": summary.judge_score_is}
    if summary.heldout_score_is is None:
        names["heldout_score"] = None
    rows = [
        (name, estimate(before.measure(key).overall), estimate(after.measure(key).overall))
        for key, name in names.items()
        if name is not None
    ]
    doubts = judge_doubts(summary, evaluation)
    model = summary.reward_model
    calls = f"{summary.judge_calls} judge calls, {summary.judge_failures} failed; " if summary.judge else ""
    return Table(
        (Column("measure"), Column("before", "right"), Column(f"after (step {summary.best_step})", "right")),
        rows,
        title=f"{summary.prompts.measured} test prompts, 95% intervals",
        warnings=doubts,
        notes=[
            headline(summary, evaluation),
            *(f"! {warning}" for warning in warnings(summary, evaluation)[len(doubts) :]),
            *([] if model is None else [f"reward model on held-out pairs: {model.in_words}"]),
            f"{calls}{clock(summary.wall_s)} in all",
        ],
    )
