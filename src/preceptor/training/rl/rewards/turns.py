"""Rewards of single turns, beside the reward of a whole trajectory."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol, TypeAlias, runtime_checkable

if TYPE_CHECKING:
    from preceptor.training.policy import ResponseGroup
    from preceptor.training.rl.rewards.combined import Rewarded

TurnScoresPGK: TypeAlias = list[list[list[float | None]]]
"""For each of P × G responses, a number or None for each of its K turns: the assistant's messages of its trajectory."""


@dataclass(frozen=True)
class TurnScores:
    """A source's scores of single turns. Units do not matter, because scores are normalised within their group."""

    scores_PGK: TurnScoresPGK
    """No number at all for a response whose turns were not scored."""
    weight: float = 1.0
    """What a standard deviation of the scores adds to the advantage of the whole response."""


@runtime_checkable
class TurnRewardSource(Protocol):
    """A source of rewards that also scores turns."""

    def with_turns(self, groups_P: "Sequence[ResponseGroup]") -> "Rewarded":
        """The rewards of whole responses, and the scores of their turns.

        Raises: NoRewardsError when no response has a reward.
        """
        ...
