"""Has a judge compare the responses of many groups: one round of all groups goes to the judge at once."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from preceptor.core.hashing import content_hash
from preceptor.core.types import Comparison, JudgeFailure, Preference, Prompt, Response, Verdict
from preceptor.judging.ensemble import PreferenceJudge
from preceptor.judging.groups.design import PairDesign, Played, next_round
from preceptor.judging.groups.strengths import Strengths, fit_groups


@dataclass(frozen=True)
class Group:
    """A prompt and different responses to it, in an order that says nothing about them."""

    prompt: Prompt
    responses: tuple[Response, ...]

    @classmethod
    def of(cls, prompt: Prompt, responses: Sequence[Response]) -> "Group":
        """The distinct responses among these, in the order of their hashes."""
        distinct = {response.content_hash: response for response in reversed(responses)}
        return cls(prompt, tuple(distinct[name] for name in sorted(distinct)))


@dataclass(frozen=True)
class JudgedGroup:
    """A group with the strengths of its responses, in the group's order."""

    group: Group
    strengths: Strengths
    outcomes: tuple[Preference | Verdict | JudgeFailure, ...]
    """Everything the judge said of the group."""


class GroupJudge(Protocol):
    """Anything that judges the responses of groups."""

    def judge(self, groups: Sequence[Group]) -> list[JudgedGroup]:
        """The strengths of each group's responses; all groups are judged together."""
        ...


class ComparedGroups:
    """Judges groups by comparisons of pairs, which a design chooses."""

    def __init__(self, judge: PreferenceJudge, design: PairDesign) -> None:
        self._judge = judge
        self._design: PairDesign = design

    def judge(self, groups: Sequence[Group]) -> list[JudgedGroup]:
        """The Bradley-Terry strengths of each group's responses.

        Raises: PreceptorError when the budget is spent or the model cannot be asked at all.
        """
        played = play(self._judge, groups, self._design)
        strengths = fit_groups([(len(each.group.responses), each.played) for each in played])
        return [JudgedGroup(p.group, s, p.outcomes) for p, s in zip(played, strengths, strict=True)]


@dataclass(frozen=True)
class PlayedGroup:
    """The comparisons of a group, in the order in which they were made."""

    group: Group
    played: tuple[Played, ...]
    outcomes: tuple[Preference | JudgeFailure, ...]
    """What the judge said in each of them."""


def play(judge: PreferenceJudge, groups: Sequence[Group], design: PairDesign) -> list[PlayedGroup]:
    """All comparisons that a design makes of the groups.

    Raises: PreceptorError when the budget is spent or the model cannot be asked at all.
    """
    played: list[list[Played]] = [[] for _ in groups]
    outcomes: list[list[Preference | JudgeFailure]] = [[] for _ in groups]
    while asked := [
        (g, i, j) for g, group in enumerate(groups) for i, j in next_round(design, len(group.responses), played[g])
    ]:
        pairs = [comparison_of(groups[g].prompt, groups[g].responses[i], groups[g].responses[j]) for g, i, j in asked]
        for (g, i, j), pair, outcome in zip(asked, pairs, judge.compare(pairs), strict=True):
            played[g].append(Played(i, j, _probability(groups[g].responses[i], pair, outcome)))
            outcomes[g].append(outcome)
    return [PlayedGroup(*each) for each in zip(groups, map(tuple, played), map(tuple, outcomes), strict=True)]


def comparison_of(prompt: Prompt, one: Response, other: Response) -> Comparison:
    """The comparison of two responses. It does not depend on their order, so no policy has a fixed place."""
    a, b = sorted((one, other), key=lambda response: response.content_hash)
    name = content_hash([prompt.id, a.content_hash, b.content_hash])[:16]
    return Comparison(id=name, prompt=prompt, a=a, b=b)


def _probability(one: Response, pair: Comparison, outcome: Preference | JudgeFailure) -> float | None:
    if isinstance(outcome, JudgeFailure):
        return None
    return outcome.p_a if pair.a is one else 1.0 - outcome.p_a
