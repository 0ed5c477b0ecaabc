"""A judge's scores without what it prefers in excess of people."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from preceptor.judging.bias_correction import Excess, taken_off
from preceptor.training.rl.rewards.source import RewardSource

if TYPE_CHECKING:
    from preceptor.training.policy import ResponseGroup


class BiasCorrectedReward:
    """Another source's rewards in log-odds, less the excess of each response's features.

    Args:
        source: its rewards are log-odds, in nats, of a judge's score.
        excess: log-odds for a unit of each feature.
    """

    def __init__(self, source: RewardSource, excess: Excess) -> None:
        self._source = source
        self._excess = excess

    def __call__(self, groups_P: "Sequence[ResponseGroup]") -> list[list[float | None]]:
        """The corrected rewards, P × G.

        Raises: as the source does.
        """
        return [
            [
                None if reward is None else reward - taken_off(self._excess, response)
                for reward, response in zip(rewards_G, group.responses, strict=True)
            ]
            for rewards_G, group in zip(self._source(groups_P), groups_P, strict=True)
        ]
