"""An ensemble of reward models, so that a policy gains less by exploiting the errors of a single one."""

import statistics
from collections.abc import Sequence

from preceptor.core.errors import PreceptorError
from preceptor.core.seeds import derive_seed
from preceptor.core.types import Prompt, Response
from preceptor.training.reward_model.encoding import NoReward
from preceptor.training.reward_model.model import RewardModel


def member_seed(seed: int, member: int) -> int:
    """The seed of a member's head, adapters and order of pairs; members are counted from 0."""
    return derive_seed(seed, "reward model", member)


class RewardEnsemble:
    """The members' mean reward minus k standard deviations, which penalises disagreement (after Coste et al. 2023,
    section 3.1, who subtract a multiple of the variance).

    A reward model's rewards are defined only up to a constant, which would look like disagreement; `centre` removes it.

    Args:
        models: the members.
        pessimism: k.
        offsets_M: subtracted from each member's rewards; 0 when None.
    """

    def __init__(
        self, models: Sequence[RewardModel], pessimism: float = 0.0, offsets_M: Sequence[float] | None = None
    ) -> None:
        offsets = [0.0] * len(models) if offsets_M is None else list(offsets_M)
        if not models or pessimism < 0.0 or len(offsets) != len(models):
            raise ValueError(f"{len(models)} models, {len(offsets)} offsets, pessimism {pessimism}")
        self.models = list(models)
        self.pessimism = pessimism
        self.offsets_M = offsets

    @property
    def identity(self) -> str:
        """The members, and how their rewards are combined."""
        members = " + ".join(model.identity for model in self.models)
        return f"mean - {self.pessimism:g} std of ({members})" if self.pessimism else f"mean of ({members})"

    def centre(self, items: Sequence[tuple[Prompt, Response]]) -> None:
        """Sets the offsets so that each member's mean reward of these responses is 0.

        Raises: PreceptorError when a member has no reward for any of them.
        """
        for member, model in enumerate(self.models):
            known = [reward for reward in model.score(items) if not isinstance(reward, NoReward)]
            if not known:
                raise PreceptorError(f"{model.identity} has no reward for any of {len(items)} responses to centre on")
            self.offsets_M[member] = statistics.fmean(known)

    def score(self, items: Sequence[tuple[Prompt, Response]]) -> list[float | NoReward]:
        """The ensemble's reward of each response; no reward if a member has none."""
        rewards_MN = [model.score(items) for model in self.models]
        return [self._combine(rewards_M) for rewards_M in zip(*rewards_MN, strict=True)]

    def _combine(self, rewards_M: Sequence[float | NoReward]) -> float | NoReward:
        known_M: list[float] = []
        for reward, offset in zip(rewards_M, self.offsets_M, strict=True):
            if isinstance(reward, NoReward):
                return reward
            known_M.append(reward - offset)
        return statistics.fmean(known_M) - self.pessimism * statistics.pstdev(known_M)
