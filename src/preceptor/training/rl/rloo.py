"""RLOO: REINFORCE with the mean reward of the siblings as the baseline (Ahmadian et al. 2024)."""

from torch import Tensor

from preceptor.objectives.advantages import leave_one_out_advantages
from preceptor.training.rl.batch import Batch, Part, Targets
from preceptor.training.rl.losses import named_losses, response_losses
from preceptor.training.rl.settings import RLSettings


class Rloo:
    """The advantage of a response is its reward minus the mean reward of the others sampled for the same prompt."""

    def __init__(self, settings: RLSettings) -> None:
        self._settings = settings

    def targets(self, batch: Batch) -> Targets:
        """Advantages of a batch, the same for all tokens of a response, or of a turn that has its own."""
        return Targets(batch.credited(leave_one_out_advantages(batch.penalised_PG, batch.valid_PG)))

    def losses(self, part: Part) -> Tensor:
        """A loss for each response: with the probability ratio of the whole response, or as the settings name it."""
        if self._settings.loss != "clip":
            return named_losses(part, self._settings)
        return response_losses(part, self._settings)

    def state(self) -> dict[str, float | None]:
        """There is no state."""
        return {}

    def load_state(self, state: dict[str, float | None]) -> None:
        """Restores what `state` returned."""
