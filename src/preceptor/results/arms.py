"""What several ways of training side by side came to, as the `summary.json` of their folder holds it."""

from typing import Literal

from preceptor.evaluation.intervals import Estimate
from preceptor.results.run import PromptCounts, Record, RunSummary


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
    """Its held-out score after training less that of the best arm, paired by prompt."""
    perplexity_ratio: float | None
    """Perplexity on reference answers after training over that before."""
    measured_responses: int
    """Responses that were judged to measure the policy, not to train it."""
    summary: RunSummary

    @property
    def is_behind(self) -> bool:
        """Whether it gains less than the best arm beyond chance."""
        difference = self.against_best
        return difference is not None and difference.high is not None and difference.high < 0


class ArmsSummary(Record):
    """Several ways of training, run on the same prompts and compared."""

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
