"""The rounds of a run with rounds, as in its `summary.json`."""

from typing import Literal

from pydantic import ConfigDict

from preceptor.evaluation.checkpoints.rounds import RoundGain
from preceptor.evaluation.intervals import Estimate
from preceptor.results.base import Record


class RoundRecord(RoundGain):
    """One round: a run of its own."""

    model_config = ConfigDict(frozen=True, extra="ignore", allow_inf_nan=False)

    folder: str
    """Its run directory, relative to that of the rounds."""
    policy: str
    """The model that it sampled from, as a model string; a path is relative to the directory of the rounds."""
    judge: str | None
    """The judge, likewise; None if there was none."""
    training_prompts: int
    labels: int
    """Preferences that were labelled in this round."""
    earlier_labels: int
    """Preferences of earlier rounds, and of datasets that the recipe names, that it learned too."""
    steps: int
    """Training steps."""
    kept_step: int
    """The step whose checkpoint was kept."""
    over_optimised_from: int | None
    """The step from which the round over-optimised; None if it did not."""
    kl: Estimate | None
    """KL of the kept policy to the first one on the validation prompts, in nats per response."""
    perplexity_ratio: float | None
    """Perplexity on reference answers, divided by that of the first policy; None if it was not measured."""
    test_gain: Estimate | None
    """Change of the held-out score on the test prompts, from the first policy, paired by prompt. It chose nothing."""
    test_change: Estimate | None
    """The same change, from the policy that the round began with."""
    judge_change: Estimate | None
    """Change of the score by the round's own judge on the test prompts, from the policy that the round began with,
    paired by prompt; None if it gave no score."""
    judge_agreement: float | None
    """Spearman's rank correlation of this judge's score and the held-out score after the round, over responses."""

    @property
    def drifts(self) -> bool:
        """Whether the judge saw a gain beyond chance where the held-out measure saw none."""
        own, held_out = self.judge_change, self.test_change
        if own is None or own.low is None or own.low <= 0:
            return False
        return held_out is not None and (held_out.low is None or held_out.low <= 0)


class RoundsRecord(Record):
    """All rounds of a run, and why they ended."""

    planned: int
    reference: Literal["first", "last"]
    judge: Literal["fixed", "policy"]
    earlier_labels: float
    """By what the weight of a label is multiplied with each round."""
    rounds: tuple[RoundRecord, ...]
    best: int
    """The round whose model was kept, by the lower bound of the gain on the validation prompts; 0 if the first policy
    was, because no round gained."""
    stopped: str | None
    """Why they ended before all that were planned; None if they did not."""

    @property
    def self_rewarding(self) -> bool:
        """Whether the policy was its own judge."""
        return self.judge == "policy"
