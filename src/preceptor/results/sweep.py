"""The result of a checkpoint sweep, as in its `sweep.json`."""

from typing import ClassVar

from preceptor.core.numbers import estimate, number, percent
from preceptor.display.table import Column, Table
from preceptor.evaluation.checkpoints.snapshot import Measure
from preceptor.evaluation.checkpoints.sweep import Sweep, SweepPoint
from preceptor.evaluation.intervals import Estimate
from preceptor.results.base import ReportedResult

FEW_PROMPTS = 30
FAILURE_BOUND = 0.02
"""Share of responses without a score above which that is a warning."""


class SweepResult(ReportedResult, Sweep):
    """Every checkpoint of a run on the same prompts, the untrained policy first.

    Examples:
        >>> result = SweepResult.load("sweeps/quickstart-1")  # doctest: +SKIP
        >>> result.best_step, result.over_optimisation.detected  # doctest: +SKIP
    """

    FILE: ClassVar[str] = "sweep.json"

    @property
    def headline(self) -> str:
        """Which checkpoint is best, what it gained and cost, and where over-optimisation begins."""
        over = self.over_optimisation
        begins = (
            f" Over-optimisation begins at step {over.step}." if over.detected else " No over-optimisation was found."
        )
        if self.held_out is None:
            return (
                "Nothing independent measured these checkpoints, so they are not ranked: name a judge that "
                f"trained nothing. The last one within the bounds is step {self.best_step}."
            )
        if self.best_step == 0:
            return (
                f"No checkpoint within the bounds has a higher held-out score than the policy before training.{begins}"
            )
        best, gain = self.best, self.best.gain.overall
        chance = "" if best.better else ", which may be chance"
        ratio = "" if best.perplexity_ratio is None else f" and {number(best.perplexity_ratio)} times its perplexity"
        on = f" on the {self.prompts - self.validation} prompts that did not choose it" if self.validation else ""
        return (
            f"Step {best.step} is the best checkpoint within the bounds: its held-out score{on} changed by "
            f"{estimate(gain, signed=True)} since before training{chance}, at a KL of {_value(best.kl, 1)} nats{ratio}."
            f"{begins}"
        )

    @property
    def warnings(self) -> list[str]:
        """Reasons to doubt the result, the gravest first."""
        reasons: list[str] = []
        if self.heldout_judge_trained:
            reasons.append(
                f"The held-out judge ({self.held_out}) is a model that judged in training. Training taught the policy "
                "to please it, so its score cannot show over-optimisation. Name another one."
            )
        if self.over_optimisation.detected:
            reasons.append(f"From step {self.over_optimisation.step} on: {'; '.join(self.over_optimisation.reasons)}.")
        if self.trained_on:
            seen = f"The run trained on {self.trained_on} of the {self.prompts} prompts"
            reasons.append(f"{seen}: these say little about new prompts.")
        if self.best_step and (fell := _fell(self.best)):
            reasons.append(f"At step {self.best_step} the held-out score fell in {fell}.")
        reasons += _failures(self)
        if self.prompts < FEW_PROMPTS:
            reasons.append(f"Only {self.prompts} prompts: the result says little about other prompts.")
        if self.best_step and len(self.points) > 2 and not self.validation and self.held_out is not None:
            reasons.append(
                f"The best of {len(self.points)} checkpoints was chosen by the score on these prompts, so part of its "
                "lead is luck: measure it again on other prompts before relying on the number."
            )
        if self.kept_step is not None and self.kept_step != self.best_step:
            reasons.append(
                f"The run itself kept step {self.kept_step}, by its own measure on its own validation prompts."
            )
        return reasons

    def table(self) -> Table:
        """A row for each checkpoint; refusals and task scores are in the report."""
        by = "no held-out score" if self.held_out is None else f"held-out score by {self.held_out}"
        rewarded = [] if self.training_reward is None else ["reward"]
        names = ("step", "KL", "held-out", "change", *rewarded, "perplexity")
        excluded = [f"Step {point.step}: {mark(point)}." for point in self.points if point.excluded is not None]
        return Table(
            [*(Column(name, "right") for name in names), Column("")],
            [self._row(point) for point in self.points],
            title=f"{self.prompts} prompts, {by}; * is the best",
            notes=[*excluded, self.headline, *self.warnings],
        )

    def _row(self, point: SweepPoint) -> tuple[str, ...]:
        return (
            f"* {point.step}" if point.step == self.best_step else str(point.step),
            _value(point.kl, 1),
            _value(point.heldout),
            estimate(point.gain.overall, signed=True) if point.step else "",
            *([_value(point.training_reward)] if self.training_reward is not None else []),
            number(point.perplexity_ratio) + ("×" if point.perplexity_ratio is not None else ""),
            "out" if point.excluded is not None else mark(point),
        )


def mark(point: SweepPoint) -> str:
    """A remark on a checkpoint beside its numbers."""
    if point.excluded is not None:
        return f"out of bounds: {point.excluded}"
    return "better" if point.better else "worse" if point.worse else ""


def _value(measure: Measure, digits: int = 2) -> str:
    return number(None if measure.overall is None else measure.overall.value, digits)


def _fell(best: SweepPoint) -> str:
    """The cohorts in which the best checkpoint is worse than before training, and by how much."""
    gains = best.gain.by_cohort.items()
    return ", ".join(f"{cohort} ({estimate(gain, signed=True)})" for cohort, gain in gains if gain and _below(gain))


def _below(gain: Estimate) -> bool:
    return gain.high is not None and gain.high < 0


def _failures(sweep: Sweep) -> list[str]:
    asked = sweep.prompts * sweep.samples * len(sweep.points)
    counts = {"held-out measure": sum(point.heldout_failures for point in sweep.points)}
    if sweep.training_reward is not None:
        counts["training reward"] = sum(point.reward_failures for point in sweep.points)
    return [
        f"The {what} failed on {count} of {asked} responses ({percent(count / asked, 1)})."
        for what, count in counts.items()
        if count > FAILURE_BOUND * asked
    ]
