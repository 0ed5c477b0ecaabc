"""PPO with a value head and generalised advantage estimation (Schulman et al. 2017; for language models Stiennon et al.
2020).
"""

import torch
from torch import Tensor

from preceptor.objectives.advantages import generalised_advantages
from preceptor.objectives.policy_gradient import clipped_value_loss
from preceptor.training.rl.batch import Batch, Part, Targets
from preceptor.training.rl.losses import clipped_tokens
from preceptor.training.rl.settings import RLSettings


class Ppo:
    """The advantage of a token is the return that follows minus the value head's estimate."""

    def __init__(self, settings: RLSettings) -> None:
        self._settings = settings

    def targets(self, batch: Batch) -> Targets:
        """Advantages, whitened over all tokens of rewarded responses, and returns.

        A token's reward is -β times its KL; the last token of a response also gets the response's reward.
        """
        assert batch.values_N is not None
        valid_N = batch.by_token(batch.valid_PG)
        rewards_N = -batch.kl_penalty * batch.kl_N
        last_B = batch.lengths_B.cumsum(0) - 1
        rewards_N = rewards_N.index_add(0, last_B, batch.rewards_PG.where(batch.valid_PG, 0.0).flatten())
        advantages_N, returns_N = generalised_advantages(
            rewards_N, batch.values_N, batch.lengths_B, self._settings.ppo.gae_lambda
        )
        return Targets(_whitened(advantages_N, valid_N), returns_N)

    def losses(self, part: Part) -> Tensor:
        """A loss for each response; their mean is the mean over tokens. A response without a reward contributes only
        its KL, if that is in the loss.
        """
        assert part.values_N is not None and part.old_values_N is not None and part.returns_N is not None
        policy_N = part.with_kl(clipped_tokens(part, self._settings))
        value_N = clipped_value_loss(part.values_N, part.old_values_N, part.returns_N, self._settings.ppo.value_clip)
        valid_N = part.valid_PG.flatten().repeat_interleave(part.lengths_B)
        return part.sums(policy_N + self._settings.ppo.value_coefficient * value_N * valid_N) / part.mean_length

    def state(self) -> dict[str, float | None]:
        """There is no state besides the policy's own value head."""
        return {}

    def load_state(self, state: dict[str, float | None]) -> None:
        """Restores what `state` returned."""


def _whitened(advantages_N: Tensor, valid_N: Tensor) -> Tensor:
    """Scales the valid tokens to mean 0 and standard deviation 1. Invalid tokens become 0; so do all tokens if fewer
    than two are valid, or if the valid ones are equal.
    """
    if int(valid_N.sum()) < 2:
        return torch.zeros_like(advantages_N)
    known = advantages_N[valid_N].double()  # in single precision, rounding gives equal numbers a deviation
    scaled_N = (advantages_N.double() - known.mean()) / (known.std() + 1e-8)
    return torch.where(valid_N, scaled_N, 0.0).to(advantages_N.dtype)
