"""REINFORCE with a running average of past rewards as the baseline (Williams 1992)."""

from torch import Tensor

from preceptor.objectives.advantages import baseline_advantages
from preceptor.objectives.policy_gradient import clipped_sequence_loss

DECAY = 0.9
"""Weight of the past in the running average."""


class Reinforce:
    """A response is as good as its reward exceeds the average reward of earlier steps.

    In the first step, which has no past, the baseline is the mean of the step's own rewards.
    """

    def __init__(self, clip_range: float) -> None:
        self._clip_range = clip_range
        self._baseline: float | None = None

    def advantages(self, rewards_PG: Tensor, valid_PG: Tensor) -> Tensor:
        """Advantages of a batch, P × G; then moves the baseline towards the batch's mean reward."""
        if not bool(valid_PG.any()):
            return rewards_PG.new_zeros(rewards_PG.shape)
        mean = float(rewards_PG[valid_PG].mean())
        baseline = mean if self._baseline is None else self._baseline
        self._baseline = DECAY * baseline + (1.0 - DECAY) * mean
        return baseline_advantages(rewards_PG, valid_PG, baseline)

    def loss(self, log_probs_B: Tensor, old_log_probs_B: Tensor, advantages_B: Tensor) -> Tensor:
        """A loss for each response."""
        return clipped_sequence_loss(log_probs_B, old_log_probs_B, advantages_B, self._clip_range)

    def state(self) -> dict[str, float | None]:
        """What must survive a restart."""
        return {"baseline": self._baseline}

    def load_state(self, state: dict[str, float | None]) -> None:
        """Takes back what `state` gave."""
        self._baseline = state["baseline"]
