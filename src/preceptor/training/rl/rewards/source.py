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


class RewardSource(Protocol):
    """Anything that gives rewards to responses."""

    def __call__(self, groups_P: "Sequence[ResponseGroup]") -> list[list[float | None]]:
        """The reward of each response of each group, P × G; None where there is none.

        Raises: PreceptorError when no response of the step has a reward, because training cannot continue.
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
    """Raises: PreceptorError when all of a step's judgements are failures, with the reasons grouped."""
    failures = [result for result in results if isinstance(result, JudgeFailure)]
    if failures and len(failures) == len(results):
        reasons = Counter(f"{failure.reason} ({failure.detail})" for failure in failures).most_common(3)
        listed = "; ".join(f"{count} times {reason}" for reason, count in reasons)
        raise PreceptorError(f"the judge failed on all {len(results)} {of_what} of a step: {listed}")


def known(reward: float | None) -> float | None:
    """The reward; None if it is not a finite number."""
    return reward if reward is not None and math.isfinite(reward) else None
