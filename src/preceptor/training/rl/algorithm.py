"""What the loop asks of an algorithm, and which algorithms there are."""

from typing import Protocol

from torch import Tensor

from preceptor.training.rl.reinforce import Reinforce
from preceptor.training.rl.rloo import Rloo
from preceptor.training.rl.settings import RLSettings, check_algorithm


class Algorithm(Protocol):
    """How advantages come from rewards, and which loss they enter."""

    def advantages(self, rewards_PG: Tensor, valid_PG: Tensor) -> Tensor:
        """Advantages of P prompts × G responses from KL-penalised rewards; 0 where `valid_PG` is False."""
        ...

    def loss(self, log_probs_B: Tensor, old_log_probs_B: Tensor, advantages_B: Tensor) -> Tensor:
        """A loss for each of B responses, from their log-probabilities now and when they were sampled."""
        ...

    def state(self) -> dict[str, float | None]:
        """What must survive a restart."""
        ...

    def load_state(self, state: dict[str, float | None]) -> None:
        """Takes back what `state` gave."""
        ...


def make_algorithm(settings: RLSettings) -> Algorithm:
    """The algorithm that the settings name.

    Raises: UsageError when the settings do not suit it.
    """
    check_algorithm(settings)
    return {"reinforce": Reinforce, "rloo": Rloo}[settings.algorithm](settings.clip_range)
