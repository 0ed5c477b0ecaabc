"""How a judge's score becomes the reward of training."""

from typing import Literal, TypeAlias, overload

from preceptor.core.types import JudgeFailure, Score
from preceptor.judging.constitution import Constitution

RewardKind: TypeAlias = Literal["expectation", "log_odds"]
"""`expectation`: the expected score, rescaled to [-1, 1]. `log_odds`: the log-odds of a two-choice scale, in nats."""


def reward_kind(named: RewardKind | None, constitution: Constitution) -> RewardKind:
    """How a score by a constitution becomes a reward: as named; otherwise its log-odds if the constitution offers two
    choices, and its expectation if it offers more.
    """
    return named or ("log_odds" if len(constitution.score.values) == 2 else "expectation")


@overload
def reward_of(score: Score, kind: RewardKind) -> float: ...
@overload
def reward_of(score: Score | JudgeFailure, kind: RewardKind) -> float | None: ...
def reward_of(score: Score | JudgeFailure, kind: RewardKind) -> float | None:
    """The reward for a score: its expectation rescaled to [-1, 1], or its log-odds; None for a failure."""
    if isinstance(score, JudgeFailure):
        return None
    return score.rescaled if kind == "expectation" else score.log_odds
