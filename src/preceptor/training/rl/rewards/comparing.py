"""Rewards from comparisons of a response with its siblings, or with a response of the reference policy."""

import logging
import math
from collections.abc import Callable, Sequence
from itertools import combinations
from typing import TYPE_CHECKING, TypeAlias

from preceptor.core.odds import log_odds
from preceptor.core.types import Comparison, JudgeFailure, Prompt, Response
from preceptor.judging.ensemble import PreferenceJudge
from preceptor.judging.groups.play import Group, GroupJudge, JudgedGroup, comparison_of
from preceptor.judging.reward import RewardKind
from preceptor.training.rl.rewards.source import NoRewardsError, check_judged

if TYPE_CHECKING:
    from preceptor.training.policy import ResponseGroup

_LOG = logging.getLogger("preceptor.rewards")

Opponents: TypeAlias = "Callable[[Sequence[ResponseGroup]], list[Response]]"
"""Returns, for each group, a response to its prompt with which the group's responses are compared."""
_Preferred: TypeAlias = Callable[[Prompt, Response, Response], float | None]
"""The probability that the first response is the better one; None if the judge failed."""


class PairwiseReward:
    """Rewards a response for winning against its siblings; the judge compares every pair. With p_ij the judge's
    preference of response i over j, and K distinct responses in the group:

    - `expectation`: the mean over siblings of 2 p_ij - 1, in [-1, 1].
    - `log_odds`: 1/K Σ_j logit p_ij. If the judge is a Bradley-Terry model, p_ij = σ(u_i - u_j), this is u_i minus the
      group's mean utility. In a group of two, the rewards differ by the log-odds of the preference.

    Siblings with the same text count as one response: they are not compared, and have the same reward. A group with one
    distinct response abstains. If comparisons of a response failed, the mean is over the others. For `log_odds` it is
    then (K-1)/K times the mean over the siblings with a comparison: u_i minus the mean of *all* K utilities is (K-1)/K
    times (u_i minus the mean of the K-1 others), and the latter mean is estimated from the siblings with a comparison.
    Without any comparison, the response abstains.
    """

    def __init__(self, judge: PreferenceJudge, kind: RewardKind) -> None:
        self._judge = judge
        self._kind: RewardKind = kind

    def __call__(self, groups_P: "Sequence[ResponseGroup]") -> list[list[float | None]]:
        """The rewards of all groups, P × G; the judge is asked about all of them at once.

        Raises: NoRewardsError when the judge failed on every comparison, and when there are no siblings at all.
        """
        _check_siblings(groups_P)
        pairs = [
            comparison_of(group.prompt, one, other)
            for group in groups_P
            for one, other in combinations(_distinct(group.responses), 2)
        ]
        preferred = _preferences(self._judge, pairs)
        return [self._rewards(group, preferred) for group in groups_P]

    def _rewards(self, group: "ResponseGroup", preferred: _Preferred) -> list[float | None]:
        distinct = _distinct(group.responses)
        rewards: dict[str, float | None] = {}
        for one in distinct:
            preferences = [preferred(group.prompt, one, other) for other in distinct if other is not one]
            worths = [_worth(p, self._kind) for p in preferences if p is not None]
            scale = (len(distinct) - 1) / len(distinct) if self._kind == "log_odds" else 1.0
            rewards[one.content_hash] = scale * math.fsum(worths) / len(worths) if worths else None
        return [rewards[response.content_hash] for response in group.responses]


class GroupReward:
    """Rewards a response by its strength within its group, which takes fewer calls than comparing every pair.

    - `log_odds`: the strength, less the mean of the group's. Of a Bradley-Terry judge, this is what `PairwiseReward`
      gives.
    - `expectation`: the mean over siblings of 2 p_ij - 1, with the p_ij that the strengths imply.

    Siblings with the same text count as one response. A response without a comparison abstains. Where failed
    comparisons have cut a group into parts, only the largest part has rewards, because strengths of different parts
    cannot be compared; how many groups are cut is logged.
    """

    def __init__(self, judge: GroupJudge, kind: RewardKind) -> None:
        self._judge = judge
        self._kind: RewardKind = kind

    def __call__(self, groups_P: "Sequence[ResponseGroup]") -> list[list[float | None]]:
        """The rewards of all groups, P × G; the judge is asked about all of them at once.

        Raises: NoRewardsError when the judge failed whenever it was asked, and when there are no siblings at all.
        """
        _check_siblings(groups_P)
        judged = self._judge.judge([Group.of(group.prompt, group.responses) for group in groups_P])
        check_judged([outcome for each in judged for outcome in each.outcomes], "judgements of groups")
        if cut := sum(each.strengths.parts > 1 for each in judged):
            _LOG.warning(
                "failed comparisons cut %d of %d groups into parts; only the largest has rewards", cut, len(judged)
            )
        return [self._rewards(group, each) for group, each in zip(groups_P, judged, strict=True)]

    def _rewards(self, group: "ResponseGroup", judged: JudgedGroup) -> list[float | None]:
        strengths = judged.strengths
        worths = strengths.margins if self._kind == "expectation" else strengths.values
        reward_of = {r.content_hash: worth for r, worth in zip(judged.group.responses, worths, strict=True)}
        return [reward_of[response.content_hash] for response in group.responses]


class AgainstReference:
    """Rewards a response for winning against a response of the reference policy to the same prompt. With p the judge's
    preference for it, `expectation` is 2 p - 1 and `log_odds` is logit p. A response whose comparison failed abstains,
    and so does a group whose opponent did not finish its thought.
    """

    def __init__(self, judge: PreferenceJudge, kind: RewardKind, opponents: Opponents) -> None:
        self._judge = judge
        self._kind: RewardKind = kind
        self._opponents = opponents

    def __call__(self, groups_P: "Sequence[ResponseGroup]") -> list[list[float | None]]:
        """The rewards of all groups, P × G; the judge is asked about all of them at once.

        Raises: NoRewardsError when the judge failed on every comparison, and when there is no opponent at all.
        """
        matches = list(zip(groups_P, self._opponents(groups_P), strict=True))
        met = [match for match in matches if not match[1].unfinished_thought]
        if not met:
            raise NoRewardsError("none of the reference's thoughts ended within its limit; raise thinking.tokens")
        pairs = [comparison_of(group.prompt, r, opponent) for group, opponent in met for r in group.responses]
        asked = _preferences(self._judge, pairs)

        def preferred(prompt: Prompt, one: Response, opponent: Response) -> float | None:
            return None if opponent.unfinished_thought else asked(prompt, one, opponent)

        preferences = [[preferred(group.prompt, r, opponent) for r in group.responses] for group, opponent in matches]
        return [[None if p is None else _worth(p, self._kind) for p in row] for row in preferences]


def _check_siblings(groups_P: "Sequence[ResponseGroup]") -> None:
    """Raises: NoRewardsError when no group has more than one response."""
    if all(len(group.responses) < 2 for group in groups_P):
        raise NoRewardsError(
            "no response of a step has a sibling to be compared with; rewards from comparisons among siblings need "
            "rl.group_size of at least 2"
        )


def _preferences(judge: PreferenceJudge, comparisons: Sequence[Comparison]) -> _Preferred:
    """Lets the judge compare each distinct comparison once.

    Raises: NoRewardsError when the judge failed on all of them.
    """
    unique = {comparison.id: comparison for comparison in comparisons}
    results = judge.compare(list(unique.values()))
    check_judged(results, "comparisons")
    p_a = {c: None if isinstance(r, JudgeFailure) else r.p_a for c, r in zip(unique, results, strict=True)}

    def preferred(prompt: Prompt, one: Response, other: Response) -> float | None:
        comparison = comparison_of(prompt, one, other)
        p = p_a[comparison.id]
        return p if p is None or comparison.a is one else 1.0 - p

    return preferred


def _worth(p: float, kind: RewardKind) -> float:
    return 2.0 * p - 1.0 if kind == "expectation" else log_odds(p)


def _distinct(responses: Sequence[Response]) -> list[Response]:
    """The first response of each content."""
    first_of: dict[str, Response] = {}
    for response in responses:
        first_of.setdefault(response.content_hash, response)
    return list(first_of.values())
