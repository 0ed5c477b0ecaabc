"""The report of several ways of training side by side: one HTML file that opens offline and needs nothing else."""

from collections.abc import Iterator
from typing import Any

from preceptor.core.numbers import estimate, listed, percent
from preceptor.evaluation.result import Evaluation
from preceptor.reports.arms.figures import gain_against_kl
from preceptor.reports.evaluation.page import sections
from preceptor.reports.run.page import UNREADABLE_BOUND, judge_doubts
from preceptor.reports.run.words import without_choice
from preceptor.reports.templates import page


def render_arms(summary: dict[str, Any], compared: Evaluation) -> str:
    """The report as HTML. All text is escaped.

    Args:
        summary: as in `summary.json` of a run of arms: `arms` (each with name, recipe, summary, gain, against_best),
            `best`, `description`, `prompts`.
        compared: the arms, and the policy before training, against each other.
    """
    return page(
        "arms/arms.html.jinja",
        s=summary,
        headline=headline(summary),
        unchosen=without_choice(summary["arms"]),
        warnings=warnings(summary),
        figure=gain_against_kl(summary["arms"]),
        **sections(compared) | {"in_run": True},
    )


def headline(summary: dict[str, Any]) -> str:
    """The result in a sentence or two: which arm gains most by the held-out measure, and which ones it cannot be told
    from.
    """
    arms = {arm["name"]: arm for arm in summary["arms"]}
    best = arms.get(summary["best"])
    if best is None or best["gain"] is None:
        return (
            "Nothing independent measured these arms, so none is said to be better than another: name a judge that "
            "trains nothing by common.evaluation.judge.model."
        )
    first = f"{best['name']} gains most by the held-out measure: {estimate(best['gain'], signed=True)}"
    if _measured_by_training(summary):
        first = (
            "Nothing independent measured these arms: the held-out judge is a judge of training. By that judge, "
            f"{first}"
        )
    close = [name for name, arm in arms.items() if name != best["name"] and not _behind(arm["against_best"])]
    if not close:
        return f"{first}, more than every other arm beyond chance."
    return f"{first}. It cannot be told from {listed(close)} at the 95% level."


def warnings(summary: dict[str, Any]) -> list[str]:
    """What a reader should know before believing the table."""
    found: list[str] = []
    for arm in summary["arms"]:
        found += [f"{arm['name']}: {reason}" for reason in (*_of_measuring(arm["summary"]), *of_run(arm["summary"]))]
    if len(summary["arms"]) > 2 and summary["best"] is not None:
        found.append(
            "the arm in front is the best of several: part of its lead is luck, and another seed may change it"
        )
    return found


def of_run(summary: dict[str, Any]) -> list[str]:
    """What a reader should know of one run among several."""
    found: list[str] = []
    if summary["over_optimisation"]["detected"]:
        reasons = "; ".join(summary["over_optimisation"]["reasons"])
        found.append(f"over-optimisation from step {summary['over_optimisation']['step']} on: {reasons}")
    if summary["best_step"] == 0:
        found.append("the policy that it began with was kept")
    return found


def _of_measuring(summary: dict[str, Any]) -> Iterator[str]:
    """Reasons to doubt what measured a run, its judge and its text."""
    if summary.get("heldout_judge_trained"):
        yield "the held-out judge is the judge that trained it"
    for doubt in judge_doubts(summary):
        yield doubt.removesuffix(".")
    unreadable = (summary.get("unreadable") or {}).get("after")
    if unreadable is not None and unreadable > UNREADABLE_BOUND:
        yield f"{percent(unreadable)} of the responses after training are unreadable"


def _measured_by_training(summary: dict[str, Any]) -> bool:
    """Whether the held-out judge trained any of the arms."""
    return any(arm.get("summary", {}).get("heldout_judge_trained") for arm in summary["arms"])


def _behind(difference: dict[str, Any] | None) -> bool:
    """Whether an arm gains less than the best beyond chance."""
    return difference is not None and difference["high"] is not None and difference["high"] < 0
