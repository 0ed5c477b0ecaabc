"""RLOO: REINFORCE with the mean reward of the siblings as the baseline (Ahmadian et al. 2024)."""

from torch import Tensor

from preceptor.objectives.advantages import leave_one_out_advantages
from preceptor.objectives.policy_gradient import clipped_sequence_loss


class Rloo:
    """A response is as good as its reward exceeds the mean reward of the others sampled for the same prompt."""

    def __init__(self, clip_range: float) -> None:
        self._clip_range = clip_range

    def advantages(self, rewards_PG: Tensor, valid_PG: Tensor) -> Tensor:
        """Advantages of a batch, P × G."""
        return leave_one_out_advantages(rewards_PG, valid_PG)

    def loss(self, log_probs_B: Tensor, old_log_probs_B: Tensor, advantages_B: Tensor) -> Tensor:
        """A loss for each response."""
        return clipped_sequence_loss(log_probs_B, old_log_probs_B, advantages_B, self._clip_range)

    def state(self) -> dict[str, float | None]:
        """What must survive a restart: nothing."""
        return {}

    def load_state(self, state: dict[str, float | None]) -> None:
        """Takes back what `state` gave."""
