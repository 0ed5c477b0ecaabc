"""REINFORCE with a baseline: the running average of past rewards, or a learned value (Williams 1992)."""

from torch import Tensor

from preceptor.objectives.advantages import baseline_advantages
from preceptor.training.rl.batch import Batch, Part, Targets
from preceptor.training.rl.losses import clipped_tokens, response_losses
from preceptor.training.rl.settings import RLSettings

DECAY = 0.9
"""Weight of the past in the running average."""


class Reinforce:
    """The advantage of a response is its reward minus the average reward of earlier steps.

    In the first step, which has no past, the baseline is the mean of the step's own rewards.
    """

    def __init__(self, settings: RLSettings) -> None:
        self._settings = settings
        self._baseline: float | None = None

    def targets(self, batch: Batch) -> Targets:
        """Advantages of a batch; then moves the baseline towards the batch's mean reward."""
        rewards_PG, valid_PG = batch.penalised_PG, batch.valid_PG
        if not bool(valid_PG.any()):
            return Targets(batch.credited(rewards_PG.new_zeros(rewards_PG.shape)))
        mean = float(rewards_PG[valid_PG].double().mean())
        baseline = mean if self._baseline is None else self._baseline
        self._baseline = baseline + (1.0 - DECAY) * (mean - baseline)  # exact if all are equal
        return Targets(batch.credited(baseline_advantages(rewards_PG, valid_PG, baseline)))

    def losses(self, part: Part) -> Tensor:
        """A loss for each response."""
        return response_losses(part, self._settings)

    def state(self) -> dict[str, float | None]:
        """The running average."""
        return {"baseline": self._baseline}

    def load_state(self, state: dict[str, float | None]) -> None:
        """Restores what `state` returned."""
        self._baseline = state["baseline"]


class ReinforceWithValue:
    """The advantage of a token is the response's reward minus the value head's estimate before the token (Lee et al.
    2023, appendix on RL). The value head learns the reward by least squares.
    """

    def __init__(self, settings: RLSettings) -> None:
        self._settings = settings

    def targets(self, batch: Batch) -> Targets:
        """Advantages of a batch, and its rewards as the targets of the value head."""
        assert batch.values_N is not None
        valid_N = batch.by_token(batch.valid_PG)
        returns_N = batch.by_token(batch.penalised_PG).where(valid_N, batch.values_N)  # 0 without a reward
        return Targets(returns_N - batch.values_N, returns_N)

    def losses(self, part: Part) -> Tensor:
        """A loss for each response."""
        assert part.values_N is not None and part.returns_N is not None
        policy_N = part.with_kl(clipped_tokens(part, self._settings))
        valid_N = part.valid_PG.flatten().repeat_interleave(part.lengths_B)
        value_N = 0.5 * (part.values_N - part.returns_N) ** 2 * valid_N
        return part.sums(policy_N) + self._settings.ppo.value_coefficient * part.sums(value_N) / part.lengths_B

    def state(self) -> dict[str, float | None]:
        """There is no state besides the policy's own value head."""
        return {}

    def load_state(self, state: dict[str, float | None]) -> None:
        """Restores what `state` returned."""
