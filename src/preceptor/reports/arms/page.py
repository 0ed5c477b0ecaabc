"""The report of several ways of training side by side: one HTML file that opens offline and needs nothing else."""

from collections.abc import Iterator

from preceptor.core.numbers import estimate, listed
from preceptor.evaluation.result import Evaluation
from preceptor.reports.arms.figures import gain_against_kl
from preceptor.reports.evaluation.page import sections
from preceptor.reports.run.page import judge_doubts, too_unreadable
from preceptor.reports.run.words import without_choice
from preceptor.reports.templates import page
from preceptor.results.arms import ArmsSummary
from preceptor.results.run import RunSummary


def render_arms(summary: ArmsSummary, compared: Evaluation) -> str:
    """The report as HTML. All text is escaped.

    Args:
        compared: the arms, and the policy before training, against each other.
    """
    return page(
        "arms/arms.html.jinja",
        s=summary,
        headline=headline(summary),
        unchosen=without_choice(summary.runs),
        warnings=warnings(summary),
        figure=gain_against_kl(summary.runs),
        **sections(compared) | {"in_run": True},
    )


def headline(summary: ArmsSummary) -> str:
    """The result in a sentence or two: which arm gains most by the held-out measure, and which ones it cannot be told
    from.
    """
    best = summary.best_arm
    if best is None or best.gain is None:
        return (
            "Nothing independent measured these arms, so none is said to be better than another: name a judge that "
            "trains nothing by common.evaluation.judge.model."
        )
    first = f"{best.name} gains most by the held-out measure: {estimate(best.gain, signed=True)}"
    if any(run.heldout_judge_trained for run in summary.runs.values()):
        first = (
            "Nothing independent measured these arms: the held-out judge is a judge of training. By that judge, "
            f"{first}"
        )
    close = [arm.name for arm in summary.arms if arm is not best and not arm.is_behind]
    if not close:
        return f"{first}, more than every other arm beyond chance."
    return f"{first}. It cannot be told from {listed(close)} at the 95% level."


def warnings(summary: ArmsSummary) -> list[str]:
    """What a reader should know before believing the table."""
    reasons = [
        f"{name}: {reason}" for name, run in summary.runs.items() for reason in (*_of_measuring(run), *of_run(run))
    ]
    if len(summary.arms) > 2 and summary.best is not None:
        reasons.append(
            "the arm in front is the best of several: part of its lead is luck, and another seed may change it"
        )
    return reasons


def of_run(summary: RunSummary) -> list[str]:
    """What a reader should know of one run among several."""
    reasons: list[str] = []
    over = summary.over_optimisation
    if over.detected:
        reasons.append(f"over-optimisation from step {over.step} on: {'; '.join(over.reasons)}")
    if summary.best_step == 0:
        reasons.append("the policy that it began with was kept")
    return reasons


def _of_measuring(summary: RunSummary) -> Iterator[str]:
    """Reasons to doubt what measured a run, its judge and its text."""
    if summary.heldout_judge_trained:
        yield "the held-out judge is the judge that trained it"
    for doubt in judge_doubts(summary):
        yield doubt.removesuffix(".")
    if unreadable := too_unreadable(summary):
        yield unreadable
