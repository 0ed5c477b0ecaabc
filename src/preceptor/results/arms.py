"""The result of several ways of training side by side, as in the `summary.json` of their folder."""

from collections.abc import Iterator
from typing import Literal

from pydantic import ConfigDict

from preceptor.core.numbers import estimate, listed, number
from preceptor.display.table import Column, Table
from preceptor.evaluation.checkpoints.snapshot import Measure
from preceptor.evaluation.intervals import Estimate
from preceptor.results.base import Record, ReportedResult
from preceptor.results.run import PromptCounts, RunSummary


class ArmRecord(Record):
    """One way of training: its run, and how it compares with the others."""

    name: str
    recipe: str
    """Name of a shipped recipe, or path of a .toml file."""
    folder: str
    """Its run directory, relative to the folder of the arms."""
    gain: Estimate | None
    """Change of the held-out score; None if nothing independent measured."""
    against_best: Estimate | None
    """Its held-out score after training minus that of the best arm, paired by prompt."""
    perplexity_ratio: float | None
    """Perplexity on reference answers after training, divided by that before."""
    measured_responses: int
    """Responses judged to measure the policy, not to train it."""
    summary: RunSummary

    @property
    def is_behind(self) -> bool:
        """Whether it gains less than the best arm beyond chance."""
        difference = self.against_best
        return difference is not None and difference.high is not None and difference.high < 0


class ArmsResult(ReportedResult):
    """Several ways of training, run on the same prompts and compared.

    Examples:
        >>> result = ArmsResult.load("runs/warm_tone-1")  # doctest: +SKIP
        >>> result.best, result.runs["DPO"].heldout_change  # doctest: +SKIP
    """

    model_config = ConfigDict(extra="ignore")

    status: Literal["done"] = "done"
    method: Literal["arms"] = "arms"
    description: str
    seed: int
    prompts: PromptCounts
    best: str | None
    """The arm that gains most by the held-out measure; None if nothing independent measured."""
    arms: tuple[ArmRecord, ...]

    @property
    def best_arm(self) -> ArmRecord | None:
        """The record of the best arm."""
        return next((arm for arm in self.arms if arm.name == self.best), None)

    @property
    def runs(self) -> dict[str, RunSummary]:
        """The summary of each arm's run, by the arm's name."""
        return {arm.name: arm.summary for arm in self.arms}

    @property
    def headline(self) -> str:
        """The result in a sentence or two: which arm gains most by the held-out measure, and which arms do not differ
        from it beyond chance.
        """
        best = self.best_arm
        if best is None or best.gain is None:
            return (
                "Nothing independent measured these arms, so they are not ranked: name a judge that trains nothing "
                "with common.evaluation.judge.model."
            )
        first = f"{best.name} gains most by the held-out measure: {estimate(best.gain, signed=True)}"
        if any(run.heldout_judge_trained for run in self.runs.values()):
            first = (
                "Nothing independent measured these arms: the held-out judge is a judge of training. By that judge, "
                f"{first}"
            )
        close = [arm.name for arm in self.arms if arm is not best and not arm.is_behind]
        if not close:
            return f"{first}, more than every other arm beyond chance."
        return f"{first}. It cannot be distinguished from {listed(close)} at the 95% level."

    @property
    def warnings(self) -> list[str]:
        """What a reader should know before believing the table."""
        reasons = [
            f"{name}: {reason}" for name, run in self.runs.items() for reason in (*_of_measuring(run), *of_run(run))
        ]
        if len(self.arms) > 2 and self.best is not None:
            reasons.append(
                "the arm in front is the best of several: part of its lead is luck, and another seed may change it"
            )
        return reasons

    def table(self) -> Table:
        """The arms side by side, and the policy before training."""
        before = self.arms[0].summary.evaluation.before
        first = ("before training", estimate(before.heldout_score.overall), "", _value(before.judge_score), *[""] * 4)
        names = ("held-out score", "gain", "judge", "KL", "perplexity", "calls", "seconds")
        return Table(
            (Column("arm"), *(Column(name, "right") for name in names)),
            [first, *map(_row, self.arms)],
            title=f"{self.prompts.measured} test prompts, 95% intervals",
            notes=[self.headline, *self.warnings],
        )


def of_run(summary: RunSummary) -> list[str]:
    """What a reader should know of one run among several."""
    reasons: list[str] = []
    over = summary.over_optimisation
    if over.detected:
        reasons.append(f"over-optimisation from step {over.step} on: {'; '.join(over.reasons)}")
    if summary.best_step == 0:
        reasons.append("the untrained policy was kept")
    return reasons


def _of_measuring(summary: RunSummary) -> Iterator[str]:
    """Reasons to doubt a run's held-out measure, its judge and its text."""
    if summary.heldout_judge_trained:
        yield "the held-out judge is the judge that trained it"
    for warning in summary.doubts:
        yield warning.sentence
    if unreadable := summary.too_unreadable:
        yield unreadable


def _row(arm: ArmRecord) -> tuple[str, ...]:
    run, after = arm.summary, arm.summary.evaluation.after
    return (
        arm.name,
        estimate(after.heldout_score.overall),
        estimate(arm.gain),
        _value(after.judge_score),
        _value(after.kl, 1),
        number(arm.perplexity_ratio) + ("" if arm.perplexity_ratio is None else "×"),
        str(run.judge_calls),
        number(run.wall_s, 0),
    )


def _value(measure: Measure, digits: int = 2) -> str:
    return number(measure.overall and measure.overall.value, digits)
