"""The report of a run: one HTML file that opens offline and needs nothing else, and the same numbers as Markdown."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from preceptor.evaluation.cost import HUMAN_USD_PER_LABEL
from preceptor.evaluation.result import Evaluation
from preceptor.evaluation.snapshot import MeasuredResponse, Snapshot
from preceptor.judging.warnings import Count, JudgeConduct, judge_warnings
from preceptor.reports import evaluation, evaluation_words, run_figures, words
from preceptor.reports.templates import markdown, page

EXAMPLES_PER_KIND = 3
MEASURES = (
    ("heldout_score", "Held-out score", 2),
    ("judge_score", None, 2),
    ("kl", "KL, nats", 1),
    ("tokens_mean", "Tokens per response", 1),
    ("length_limit_share", "Share cut at the length limit", 2),
    ("distinct_2", "Distinct-2", 2),
    ("reference_perplexity", "Perplexity on references", 1),
)
"""Key in a snapshot's summary, what it is called (None: as the run calls it), and places after the point."""


@dataclass(frozen=True)
class ReportData:
    """All that the report shows."""

    summary: dict[str, Any]
    metrics: list[dict[str, Any]]
    before: Snapshot
    after: Snapshot
    evaluation: Evaluation | None = None
    """The policy after training against the one before, on the held-out prompts; None where none was made."""


@dataclass(frozen=True)
class Example:
    """One prompt with a response from before and from after training."""

    kind: str
    before: MeasuredResponse
    after: MeasuredResponse


def render_report(data: ReportData) -> str:
    """The report as HTML. Text from models and prompts is escaped."""
    summary, of_run = data.summary, data.summary["evaluation"]
    compared = {} if data.evaluation is None else evaluation.sections(data.evaluation) | {"in_run": True}
    return page(
        "report.html.jinja",
        **_shared(data),
        **({"evaluation": None} | compared),
        done=words.what_was_done(summary),
        results=words.results_of_stages(summary),
        position=words.position(summary),
        tables=settings_tables(summary["recipe"]),
        shown_cards=evaluation.cards(data.evaluation)[:1] if data.evaluation else [],
        curves=run_figures.curves(data.metrics, summary),
        against_kl=run_figures.against_kl(summary),
        cohorts=run_figures.cohorts(of_run["before"], of_run["after"], "heldout_score", "Held-out score"),
        examples=examples(data.before, data.after),
        abstained=sum(row.get("abstained", 0) for row in data.metrics),
        human_price=HUMAN_USD_PER_LABEL,
    )


def render_run_markdown(data: ReportData) -> str:
    """The numbers of a run as Markdown: headline, reasons to doubt it, measures, what changed where. Escaped."""
    changes = data.evaluation.changes if data.evaluation else ()
    return markdown("report.md.jinja", **_shared(data), done=words.what_was_done(data.summary), changes=changes)


def _shared(data: ReportData) -> dict[str, Any]:
    """What the page and the Markdown both show."""
    summary, score = data.summary, words.score_title(data.summary)
    return {
        "s": summary,
        "before": summary["evaluation"]["before"],
        "after": summary["evaluation"]["after"],
        "headline": headline(summary, data.evaluation),
        "doubts": (doubts := judge_doubts(summary, data.evaluation)),
        "warnings": warnings(summary, data.evaluation)[len(doubts) :],
        "score_is": score,
        "measures": [(key, name or score, digits) for key, name, digits in MEASURES if name or score],
    }


def headline(summary: dict[str, Any], compared: Evaluation | None = None) -> str:
    """The result in a sentence or two, with their intervals: the change of the score, and who is preferred."""
    if compared is None:
        return _change(summary)
    preferred = evaluation_words.preference(compared, _called(compared))
    return f"{_change(summary)} {preferred[0].upper()}{preferred[1:]}"


def _called(compared: Evaluation) -> dict[str, str]:
    """What the policies before and after training are called in sentences."""
    before, after = compared.policies
    return {before.name: "the one before", after.name: "the policy after training"}


def _change(summary: dict[str, Any]) -> str:
    before, after = summary["evaluation"]["before"], summary["evaluation"]["after"]
    gain = summary["heldout_change"]
    if gain is None or gain["low"] is None:
        return "There are too few held-out prompts to say what changed."
    effect = "rose" if gain["low"] > 0 else "fell" if gain["high"] < 0 else "did not change beyond chance"
    measured = f"({gain['value']:+.2f} [{gain['low']:+.2f}, {gain['high']:+.2f}])"
    kl = after["kl"]["overall"]["value"]
    was, now = (e["heldout_score"]["overall"]["value"] for e in (before, after))
    return (
        f"On prompts it never trained on, the policy's held-out score {effect}: {was:.2f} before, {now:.2f} after "
        f"{measured}, at a KL of {kl:.1f} nats."
    )


def judge_doubts(summary: dict[str, Any], compared: Evaluation | None = None) -> list[str]:
    """Reasons to doubt the judges, which stand before any number that is theirs."""
    if (given := summary.get("judge_warnings")) is None:  # a run of an earlier version
        calls = Count(hits=summary["judge_failures"], n=summary["judge_calls"], prompts=summary["judge_calls"])
        given = [each.model_dump() for each in judge_warnings(JudgeConduct(unit="calls", failed=calls), "The judge")]
    own = [f"{warning['sentence']}." for warning in given]
    return own + (evaluation_words.judge_doubts(compared) if compared is not None else [])


def warnings(summary: dict[str, Any], compared: Evaluation | None = None) -> list[str]:
    """Reasons to doubt the result, those to doubt the judges first, the gravest first."""
    of_evaluation = evaluation_words.warnings(compared, _called(compared)) if compared is not None else []
    of_judges = judge_doubts(summary, compared)
    return [
        *of_judges,
        *(_of_measuring(summary) if compared is None else ()),
        *_of_training(summary),
        *_of_judging(summary),
        *(warning for warning in of_evaluation if warning not in of_judges),
    ]


def _of_measuring(summary: dict[str, Any]) -> Iterator[str]:
    """What an evaluation would say of the held-out measure."""
    if summary["heldout_judge_trained"]:
        yield (
            f"The held-out measure ({summary['heldout_score_is']}) is the judge of training: what training teaches "
            "first is to please its own judge."
        )
    after = summary["evaluation"]["after"]
    if after["heldout_failures"]:
        yield f"The held-out measure failed on {after['heldout_failures']} responses after training."


def _of_training(summary: dict[str, Any]) -> Iterator[str]:
    over, agreement = summary["over_optimisation"], summary["evaluation"]["after"]["judge_agreement"]
    if over["detected"]:
        kept = f"The checkpoint kept is step {summary['best_step']}."
        yield f"Over-optimisation from step {over['step']} on: {'; '.join(over['reasons'])}. {kept}"
    if summary["best_step"] == 0 and summary["steps"] > 0:
        yield "No checkpoint beat the policy before training within the bounds, so the untrained policy was kept."
    if below_chance := words.poor_reward_model(summary):
        yield below_chance
    if agreement is not None and agreement < 0.2:
        whose = "the reward model" if "reward model" in str(summary["judge_score_is"]) else "the judge"
        yield (
            f"After training, {whose}'s ranking of responses hardly agrees with the held-out score "
            f"(Spearman {agreement:.2f})."
        )


def _of_judging(summary: dict[str, Any]) -> Iterator[str]:
    if summary["judge_is_policy"]:
        yield (
            "Judge and policy have the same weights. A judge favours its own kind, so the judge's reward below says "
            "little by itself; the held-out score is the one to read."
        )
    if summary["prompts"]["skipped"]:
        yield f"{summary['prompts']['skipped']} prompts did not fit the context window and were skipped."


def settings_tables(recipe: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """The tables of a recipe, by name, without what is nested deeper or not set."""
    tables = {name: value for name, value in recipe.items() if isinstance(value, dict)}
    return {
        name: {key: value for key, value in table.items() if value is not None and not isinstance(value, dict)}
        for name, table in tables.items()
    }


def examples(before: Snapshot, after: Snapshot) -> list[Example]:
    """First samples of some prompts before and after: the largest gains, the median, the largest falls."""
    earlier = _first_by_prompt(before.responses)
    scored = [
        (now.heldout_score - was.heldout_score, was, now)
        for name, now in _first_by_prompt(after.responses).items()
        if (was := earlier.get(name)) is not None and was.heldout_score is not None and now.heldout_score is not None
    ]
    pairs = [(was, now) for _, was, now in sorted(scored, key=lambda row: -row[0])]
    count = min(EXAMPLES_PER_KIND, len(pairs) // 3)
    middle = (len(pairs) - count) // 2
    chosen = (
        ("Largest gain", pairs[:count]),
        ("Around the median", pairs[middle : middle + count]),
        ("Largest fall", pairs[len(pairs) - count :]),
    )
    return [Example(kind, was, now) for kind, part in chosen for was, now in part]


def _first_by_prompt(responses: Sequence[MeasuredResponse]) -> dict[str, MeasuredResponse]:
    first: dict[str, MeasuredResponse] = {}
    for response in responses:
        first.setdefault(response.prompt_id, response)
    return first
