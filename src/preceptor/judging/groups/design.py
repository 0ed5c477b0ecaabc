"""Which of a group's responses are compared with each other, round by round.

A design is a pure function of what the judge has said so far, so the rounds of many groups are judged together, and an
interrupted group continues where it stopped. The number of comparisons depends on the size of the group only:

| design | comparisons of k responses | rounds |
| --- | --- | --- |
| `all` | k (k - 1) / 2: every pair | 1 |
| `circular` | k: each with the next, the last with the first | 1 |
| `anchor` | k - 1: each with the first response | 1 |
| `swiss` | ⌊k / 2⌋ ⌈log2 k⌉: each with one of about its own standing, and with nobody twice | ⌈log2 k⌉ |
| `knockout` | k - 1: winners go on, losers are out | about log2 k |
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

from preceptor.core.errors import UsageError
from preceptor.judging.settings import PairwiseSettings
from preceptor.store.comparisons import Design, pairs_of

PairDesign: TypeAlias = Literal["all", "circular", "anchor", "swiss", "knockout"]
"""How the pairs of a group that are compared are chosen."""
GroupDesign: TypeAlias = Literal["all", "circular", "anchor", "swiss", "knockout", "listwise"]
"""How a group is judged: by comparisons of pairs, or, for `listwise`, by calls that show all responses at once."""
Pair: TypeAlias = tuple[int, int]
"""Places of two responses in their group, counted from 0."""

_OUT = 2
"""Failed comparisons after which a response leaves a knockout."""


@dataclass(frozen=True)
class Played:
    """A comparison of the responses at places `i` and `j` of a group."""

    i: int
    j: int
    p: float | None
    """Probability that i is the better one; None if the judge failed."""

    @property
    def pair(self) -> Pair:
        """Both places, the lower one first."""
        return min(self.i, self.j), max(self.i, self.j)


def comparisons_of(design: PairDesign, count: int) -> int:
    """How many comparisons a design makes of `count` responses, those that fail included."""
    if count < 2:
        return 0
    if design == "swiss":
        return (count // 2) * _rounds(count)
    return count - 1 if design == "knockout" else len(pairs_of(count, design))


def read_design(design: PairDesign) -> Design:
    """The design by which rows are read: every pair, where answers decide which of them are compared."""
    return "all" if design in ("swiss", "knockout") else design


def next_round(design: PairDesign, count: int, played: Sequence[Played]) -> list[Pair]:
    """The pairs that are compared next; none if the design is complete.

    Args:
        count: number of responses.
        played: the comparisons of all earlier rounds, failed ones included.
    """
    left = comparisons_of(design, count) - len(played)
    if left <= 0:
        return []
    if design == "swiss":
        return _swiss(count, played)
    return _knockout(count, played)[:left] if design == "knockout" else pairs_of(count, design)


def check_listwise(settings: PairwiseSettings) -> None:
    """Raises: UsageError for a way of asking that a listwise judge does not have."""
    default = PairwiseSettings()
    for name in ("shown", "preamble", "order", "principles", "exemplars", "samples", "combine"):
        value = getattr(settings, name)
        if value != getattr(default, name):
            raise UsageError(
                f'{name} = "{value}" says how one or two responses are shown; a listwise judge sees all at once: ask '
                "it as detailed, with cot or think-LEVEL"
            )


def parts_of(count: int, played: Sequence[Played]) -> list[int]:
    """For each response, the lowest place among all that it is connected with by successful comparisons."""
    root = list(range(count))

    def find(place: int) -> int:
        while root[place] != place:
            root[place] = root[root[place]]
            place = root[place]
        return place

    for game in played:
        if game.p is not None:
            low, high = sorted((find(game.i), find(game.j)))
            root[high] = low
    return [find(place) for place in range(count)]


def _rounds(count: int) -> int:
    return (count - 1).bit_length()


def _swiss(count: int, played: Sequence[Played]) -> list[Pair]:
    """Responses of neighbouring standing that have not met, first those that no chain of comparisons connects yet."""
    points, games = [0.0] * count, Counter(place for game in played for place in game.pair)
    for game in played:
        if game.p is not None:  # a failure says nothing about either response
            points[game.i] += game.p - 0.5
            points[game.j] += 0.5 - game.p
    standing = sorted(range(count), key=lambda place: (-points[place], place))
    if count % 2:  # the lowest of those that have sat out least does
        most = max(games[place] for place in standing)
        standing.remove([place for place in standing if games[place] == most][-1])
    return _matched(standing, {game.pair for game in played}, parts_of(count, played))


def _matched(standing: Sequence[int], met: set[Pair], part: Sequence[int]) -> list[Pair]:
    """Pairs of all responses, none of which have met."""
    left, pairs = list(standing), list[Pair]()
    while left:
        one = left.pop(0)
        new = [other for other in left if _ordered(one, other) not in met]
        other = next((place for place in new if part[place] != part[one]), new[0] if new else left[0])
        left.remove(other)
        pairs.append(_ordered(one, other))
    for place, pair in enumerate(pairs):
        if pair in met:
            _exchange(pairs, place, met)
    return pairs


def _exchange(pairs: list[Pair], place: int, met: set[Pair]) -> None:
    """Separates two that have met, by an exchange with another pair."""
    one, other = pairs[place]
    for k in reversed([k for k in range(len(pairs)) if k != place]):
        for first, second in (pairs[k], pairs[k][::-1]):
            changed = _ordered(one, first), _ordered(other, second)
            if not met.intersection(changed):
                pairs[place], pairs[k] = changed
                return


def _ordered(one: int, other: int) -> Pair:
    return (one, other) if one < other else (other, one)


def _knockout(count: int, played: Sequence[Played]) -> list[Pair]:
    """Pairs of responses that have not lost. A failed comparison has no winner: both go on, until one fails again."""
    games = Counter(place for game in played for place in game.pair)
    failed = Counter(place for game in played if game.p is None for place in game.pair)
    lost = {game.j if game.p >= 0.5 else game.i for game in played if game.p is not None}
    met = {game.pair for game in played}
    left = [place for place in range(count) if place not in lost and failed[place] < _OUT]
    left.sort(key=lambda place: games[place])  # who sat out comes first
    pairs: list[Pair] = []
    while left:
        one = left.pop(0)
        other = next((place for place in left if _ordered(one, place) not in met), None)
        if other is not None:
            left.remove(other)
            pairs.append(_ordered(one, other))
    return pairs
