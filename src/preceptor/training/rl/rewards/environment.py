"""The environment's own reward of an episode."""

from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING

from preceptor.training.rl.rewards.source import NoRewardsError

if TYPE_CHECKING:
    from preceptor.training.policy import ResponseGroup


class EnvironmentReward:
    """What the environment's `get_reward` returned at the end of each episode. An episode abstains if its environment
    broke or said nothing.
    """

    def __call__(self, groups_P: "Sequence[ResponseGroup]") -> list[list[float | None]]:
        """The rewards, P × G.

        Raises: NoRewardsError when no episode has a reward, with the reasons counted.
        """
        results = [episode.result for group in groups_P for episode in group.episodes]
        if all(result.reward is None for result in results):
            reasons = Counter(result.failure or "get_reward returned None" for result in results).most_common(3)
            listed = "; ".join(f"{count} times {reason}" for reason, count in reasons)
            raise NoRewardsError(f"the environment rewarded none of the {len(results)} episodes of a step: {listed}")
        return [[episode.result.reward for episode in group.episodes] for group in groups_P]
