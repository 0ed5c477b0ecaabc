"""The interface of reward sources, and the simplest of them: a judge's score of each response."""

import math
from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING, Protocol

from preceptor.core.errors import PreceptorError
from preceptor.core.types import JudgeFailure
from preceptor.judging.reward import RewardKind, reward_kind, reward_of
from preceptor.judging.score import ScoreJudge

if TYPE_CHECKING:
    from preceptor.training.policy import ResponseGroup


NO_VARIATION = 1e-8
"""Rewards that differ by less than this share of the largest of them differ by rounding."""
_ROUNDING = 1e-12
"""Sums of opposite rewards that differ by less than this do too."""


class NoRewardsError(PreceptorError):
    """No response of a batch has a reward."""


class RewardSource(Protocol):
    """Anything that gives rewards to responses."""

    def __call__(self, groups_P: "Sequence[ResponseGroup]") -> list[list[float | None]]:
        """The reward of each response of each group, P × G; None where there is none.

        Raises: NoRewardsError when no response of the step has a reward, because training cannot continue.
        """
        ...


class JudgeReward:
    """Direct RLAIF: the judge's score is the reward (Lee et al. 2023, section 2.2).

    Args:
        kind: how the score becomes a number; None for the default of `reward_kind`.
    """

    def __init__(self, judge: ScoreJudge, kind: RewardKind | None = None) -> None:
        self._judge = judge
        self._kind: RewardKind = reward_kind(kind, judge.constitution)

    def __call__(self, groups_P: "Sequence[ResponseGroup]") -> list[list[float | None]]:
        """The judge's rewards, P × G.

        Raises: PreceptorError when the judge failed on every response.
        """
        results = self._judge.score([(group.prompt, r) for group in groups_P for r in group.responses])
        check_judged(results, "responses")
        scores = iter(results)
        return [[reward_of(next(scores), self._kind) for _ in group.responses] for group in groups_P]


def check_judged(results: Sequence[object], of_what: str) -> None:
    """Raises: NoRewardsError when all of a step's judgements are failures, with the reasons grouped."""
    failures = [result for result in results if isinstance(result, JudgeFailure)]
    if failures and len(failures) == len(results):
        reasons = Counter(f"{failure.reason} ({failure.detail})" for failure in failures).most_common(3)
        listed = "; ".join(f"{count} times {reason}" for reason, count in reasons)
        raise NoRewardsError(f"the judge failed on all {len(results)} {of_what} of a step: {listed}")


def known(reward: float | None) -> float | None:
    """The reward; None if it is not a finite number."""
    return reward if reward is not None and math.isfinite(reward) else None


def known_of(rewards_G: Sequence[float | None]) -> list[float]:
    """The rewards of a group that are numbers."""
    return [number for reward in rewards_G if (number := known(reward)) is not None]


def all_equal(rewards_G: Sequence[float | None]) -> bool:
    """Whether a group has at least two rewards, and all of them are equal but for rounding."""
    there = known_of(rewards_G)
    return len(there) > 1 and max(there) - min(there) <= max(NO_VARIATION * max(map(abs, there)), _ROUNDING)
