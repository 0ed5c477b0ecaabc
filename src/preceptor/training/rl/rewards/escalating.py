"""A second, stronger judge for the responses whose advantage's sign is in doubt, within a budget for each step."""

import math
from collections.abc import Sequence
from itertools import groupby
from statistics import fmean
from typing import TYPE_CHECKING

from preceptor.core.types import JudgeFailure, Response, Score
from preceptor.judging.reward import RewardKind, reward_kind, reward_of
from preceptor.judging.score import ScoreJudge
from preceptor.training.rl.rewards.source import check_judged

if TYPE_CHECKING:
    from preceptor.training.policy import ResponseGroup

IN_DOUBT = 1.0
"""An advantage is in doubt if it is less than this many standard deviations away from zero."""


class EscalatingReward:
    """Direct RLAIF with two judges: a cheap one scores every response, and a strong one scores again those whose
    advantage's sign is in doubt.

    The sign decides whether a response becomes likelier or less likely; a judge that is sure of it need not be asked
    again. `doubts` says how sure it is. The most doubtful responses of a step come first, and at most `per_step` of
    them are asked about.

    The two judges may be strict to different degrees. So the strong judge's rewards are shifted by the mean difference
    between the two over the responses of the step that both scored; otherwise a stricter judge would read as
    worse responses. A response that the strong judge fails on keeps the cheap judge's reward; one that the cheap judge
    fails on abstains.

    Args:
        kind: how a score becomes a number, for both judges; None for the default of `reward_kind`.
        per_step: the most responses of a step that the strong judge is asked about.
    """

    def __init__(self, cheap: ScoreJudge, strong: ScoreJudge, per_step: int, kind: RewardKind | None = None) -> None:
        self._cheap = cheap
        self._strong = strong
        self._per_step = per_step
        self._kind: RewardKind = reward_kind(kind, cheap.constitution)

    def __call__(self, groups_P: "Sequence[ResponseGroup]") -> list[list[float | None]]:
        """The rewards, P × G.

        Raises: NoRewardsError when the cheap judge failed on every response.
        """
        items = [(group.prompt, response) for group in groups_P for response in group.responses]
        first = self._cheap.score(items)
        check_judged(first, "responses")
        group_of = [place for place, group in enumerate(groups_P) for _ in group.responses]
        doubtful = most_doubtful(group_of, [response for _, response in items], first, self._per_step)
        second = dict(zip(doubtful, self._strong.score([items[place] for place in doubtful]), strict=True))
        rewards = self._combined(first, second)
        return [
            [rewards[i] for i, _ in of_group] for _, of_group in groupby(enumerate(group_of), key=lambda pair: pair[1])
        ]

    def _combined(
        self, first: Sequence[Score | JudgeFailure], second: dict[int, Score | JudgeFailure]
    ) -> list[float | None]:
        """The cheap judge's rewards, replaced by the strong judge's shifted ones where there are any."""
        rewards = [reward_of(score, self._kind) for score in first]
        again = {
            place: (number, before)
            for place, score in second.items()
            if (number := reward_of(score, self._kind)) is not None and (before := rewards[place]) is not None
        }
        shift = fmean(number - before for number, before in again.values()) if again else 0.0
        for place, (number, _) in again.items():
            rewards[place] = number - shift
        return rewards


def most_doubtful(
    group_of: Sequence[int], responses: Sequence[Response], scores: Sequence[Score | JudgeFailure], most: int
) -> list[int]:
    """The places of the responses whose advantage's sign is in doubt, in order; of too many, the most doubtful.

    Args:
        group_of: the group of each response; a group's responses are adjacent.
        responses, scores: all of a step. A group in which all responses are the same has nothing to decide.
        most: how many to return at most.
    """
    found: list[tuple[float, int]] = []
    for _, members in groupby(range(len(scores)), key=lambda place: group_of[place]):
        places = list(members)
        if len({responses[place].content_hash for place in places}) > 1:
            distances = doubts([scores[place] for place in places])
            found += [(d, place) for d, place in zip(distances, places, strict=True) if d is not None and d < IN_DOUBT]
    return sorted(place for _, place in sorted(found)[:most])


def doubts(scores_G: Sequence[Score | JudgeFailure]) -> list[float | None]:
    """How many standard deviations each response's advantage is away from zero; None without a score, and in a group of
    one score.

    A score is a distribution over the scale, rescaled to [-1, 1]; with m_i its mean and v_i its variance, and n scores
    in the group, the advantage is A_i = m_i - mean(m). If each response's true score were drawn from its distribution,
    independently, A_i would have the variance (1 - 1/n)² v_i + Σ_{j≠i} v_j / n². The distance is |A_i| divided by the
    square root of that. At a distance of 1, the sign would be the other one in about one draw of six. Where all
    distributions are certain, an advantage of zero is in doubt and any other is not.
    """
    moments = {i: _moments(score) for i, score in enumerate(scores_G) if isinstance(score, Score)}
    n = len(moments)
    if n < 2:
        return [None] * len(scores_G)
    mean, total = fmean(m for m, _ in moments.values()), sum(v for _, v in moments.values())
    distances: list[float | None] = [None] * len(scores_G)
    for i, (m, v) in moments.items():
        variance = (1.0 - 1.0 / n) ** 2 * v + (total - v) / n**2
        away = abs(m - mean)
        distances[i] = away / math.sqrt(variance) if variance > 0.0 else math.inf if away > 0.0 else 0.0
    return distances


def _moments(score: Score) -> tuple[float, float]:
    """Mean and variance of a score, rescaled to [-1, 1]."""
    low, high = min(score.values.values()), max(score.values.values())
    places = {choice: 2.0 * (value - low) / (high - low) - 1.0 for choice, value in score.values.items()}
    mean = sum(p * places[choice] for choice, p in score.verdict.probabilities.items())
    return mean, sum(p * (places[choice] - mean) ** 2 for choice, p in score.verdict.probabilities.items())
