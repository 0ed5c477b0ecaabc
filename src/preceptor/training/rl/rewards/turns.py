"""Rewards of single turns, beside the reward of a whole trajectory."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Protocol, TypeAlias, runtime_checkable

from preceptor.judging.steps import GOOD_STEP

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
    failed_PG: list[list[bool | None]] = field(default_factory=list[list[bool | None]])
    """Whether each response failed as a whole; None where that is not known. Empty where nobody was asked."""

    def copy(self) -> "TurnScores":
        """The same, in lists of its own."""
        return replace(self, scores_PGK=list(self.scores_PGK), failed_PG=list(self.failed_PG))

    def put(self, place: int, other: "TurnScores | None", of_other: int, group_size: int) -> None:
        """Puts a group of another's scores into the place of a group; no scores if there is no other."""
        self.scores_PGK[place] = [[] for _ in range(group_size)] if other is None else other.scores_PGK[of_other]
        if self.failed_PG:
            told = other.failed_PG if other is not None else []
            self.failed_PG[place] = told[of_other] if told else [None] * group_size

    def counts(self) -> dict[str, float]:
        """How many responses have a good score for every turn (`every_step_good`), and how many of these failed as a
        whole (`plan_lost`): right steps of a wrong plan. A response without a score for one of its turns is in neither.
        """
        good = [
            failed
            for scores_GK, failed_G in zip(self.scores_PGK, self.failed_PG, strict=True)
            for scores_K, failed in zip(scores_GK, failed_G, strict=True)
            if scores_K and all(score is not None and score >= GOOD_STEP for score in scores_K)
        ]
        return {"every_step_good": float(len(good)), "plan_lost": float(sum(failed is True for failed in good))}


@runtime_checkable
class TurnRewardSource(Protocol):
    """A source of rewards that also scores turns."""

    def with_turns(self, groups_P: "Sequence[ResponseGroup]") -> "Rewarded":
        """The rewards of whole responses, and the scores of their turns.

        Raises: NoRewardsError when no response has a reward.
        """
        ...
