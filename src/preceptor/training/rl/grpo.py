"""GRPO: rewards normalised within the group, ratios clipped token by token (Shao et al. 2024), and its length-unbiased
form (Liu et al. 2025, "Dr. GRPO").
"""

from torch import Tensor

from preceptor.objectives.advantages import group_normalised_advantages
from preceptor.training.rl.batch import Batch, Part, Targets
from preceptor.training.rl.losses import clipped_tokens, named_losses
from preceptor.training.rl.settings import RLSettings


class Grpo:
    """The advantage of a response is its reward minus the group's mean, divided by the group's standard deviation."""

    def __init__(self, settings: RLSettings) -> None:
        self._settings = settings

    def targets(self, batch: Batch) -> Targets:
        """Advantages of a batch, the same for all tokens of a response, or of a turn that has its own."""
        scale = self._settings.scale_advantages
        return Targets(batch.credited(group_normalised_advantages(batch.penalised_PG, batch.valid_PG, scale=scale)))

    def losses(self, part: Part) -> Tensor:
        """A loss for each response: the mean over its tokens, in which a token of a long response counts for less; or,
        length-unbiased, the sum over its tokens divided by the maximum length; or the loss that the settings name.
        """
        if self._settings.loss != "clip":
            return named_losses(part, self._settings)
        losses_N = part.with_kl(clipped_tokens(part, self._settings))
        divisor = float(self._settings.max_new_tokens) if self._settings.length_unbiased else part.lengths_B
        return part.sums(losses_N) / divisor

    def state(self) -> dict[str, float | None]:
        """There is no state."""
        return {}

    def load_state(self, state: dict[str, float | None]) -> None:
        """Restores what `state` returned."""
