"""The interface of an algorithm, and the available algorithms."""

from collections.abc import Callable
from typing import Protocol

from torch import Tensor

from preceptor.training.rl.batch import Batch, Part, Targets
from preceptor.training.rl.grpo import Grpo
from preceptor.training.rl.online_dpo import OnlineDpo
from preceptor.training.rl.ppo import Ppo
from preceptor.training.rl.reinforce import Reinforce, ReinforceWithValue
from preceptor.training.rl.rloo import Rloo
from preceptor.training.rl.settings import AlgorithmName, RLSettings, check_algorithm, needs_values


class Algorithm(Protocol):
    """Computes advantages from rewards, and the loss that uses them."""

    def targets(self, batch: Batch) -> Targets:
        """The targets of each token of a whole batch, such as advantages; 0 where there is no reward."""
        ...

    def losses(self, part: Part) -> Tensor:
        """A loss for each of B responses of a part of the batch; the caller averages over the batch."""
        ...

    def state(self) -> dict[str, float | None]:
        """State that must survive a restart."""
        ...

    def load_state(self, state: dict[str, float | None]) -> None:
        """Restores what `state` returned."""
        ...


_ALGORITHMS: dict[AlgorithmName, Callable[[RLSettings], Algorithm]] = {
    "reinforce": Reinforce,
    "rloo": Rloo,
    "grpo": Grpo,
    "ppo": Ppo,
    "online_dpo": OnlineDpo,
}


def make_algorithm(settings: RLSettings) -> Algorithm:
    """The algorithm named in the settings.

    Raises: UsageError when the settings do not suit it.
    """
    check_algorithm(settings)
    if settings.algorithm == "reinforce" and needs_values(settings):
        return ReinforceWithValue(settings)
    return _ALGORITHMS[settings.algorithm](settings)
