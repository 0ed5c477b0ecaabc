"""Labelling by a design whose later comparisons depend on earlier ones: a Swiss or a knockout tournament.

The rows of a group are those of its comparisons that the design asks for, so every label is a judge's own preference,
and none is implied by others. How many there are depends on the number of responses only, so rows can be counted,
skipped and resumed before anything is judged.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import groupby
from math import isqrt

from preceptor.core.types import Comparison, JudgeFailure, Preference, Rater
from preceptor.judging.ensemble import MemberJudge, PreferenceJudge
from preceptor.judging.groups.design import Pair, PairDesign, Played, comparisons_of, next_round, read_design
from preceptor.judging.label import InputRow
from preceptor.store.comparisons import ComparisonRow, pairs_of


@dataclass(frozen=True)
class _RowGroup:
    """All pairs of the responses to one prompt, or a single row."""

    rows: Sequence[InputRow]
    begin: int
    """Number of the group's first row in the labelling."""
    design: PairDesign

    @property
    def count(self) -> int:
        """Responses of the group: k, where k (k - 1) / 2 pairs are given."""
        return (1 + isqrt(1 + 8 * len(self.rows))) // 2

    @property
    def size(self) -> int:
        """Rows that the group takes up."""
        return comparisons_of(self.design, self.count)

    @cached_property
    def row_of(self) -> dict[Pair, InputRow]:
        """The row of each pair."""
        return dict(zip(pairs_of(self.count, "all"), self.rows, strict=True))


def expected_rows(rows: Iterator[InputRow], design: PairDesign) -> Iterator[InputRow]:
    """As many rows of each group as the design asks for, before it is known which.

    Args:
        rows: every pair of every group, as read by `read_design`.
    """
    if read_design(design) == design:
        yield from rows
        return
    for group in _groups(rows, design):
        yield from (replace(row, number=group.begin + n) for n, row in enumerate(group.rows[: group.size]))


def played_rows(
    rows: Iterator[InputRow], design: PairDesign, judge: "RememberingJudge", at_once: int, done: int, total: int
) -> Iterator[InputRow]:
    """The rows from `done` up to `total`. Their groups are judged before they are yielded, about `at_once` rows
    together. A group of which some rows are done is judged again, from the ledger.

    Args:
        rows: every pair of every group, as read by `read_design`.

    Raises: PreceptorError when the budget is spent or the model cannot be asked at all.
    """
    for _, batch in groupby(_groups(rows, design), lambda group: group.begin // at_once):
        groups = [group for group in batch if group.begin < total and group.begin + group.size > done]
        for group, played in zip(groups, _play(groups, judge), strict=True):
            rows_of_group = (replace(group.row_of[game.pair], number=group.begin + n) for n, game in enumerate(played))
            yield from (row for row in rows_of_group if done <= row.number < total)


class RememberingJudge:
    """A judge that is asked about each comparison twice, to play and to label, and answers the same."""

    def __init__(self, judge: PreferenceJudge) -> None:
        self._judge = judge
        self._told: dict[tuple[str, ...], Preference | JudgeFailure] = {}

    @property
    def rater(self) -> Rater:
        """Who the preferences are by."""
        return self._judge.rater

    @property
    def members(self) -> Sequence[MemberJudge]:
        """The judges, each of which asks one model."""
        return self._judge.members

    def compare(self, comparisons: Sequence[Comparison]) -> list[Preference | JudgeFailure]:
        """A preference or a failure for each comparison, in order; what is said a second time is forgotten."""
        keys = [(each.id, each.prompt.id, each.a.content_hash, each.b.content_hash) for each in comparisons]
        said = {key: self._told.pop(key) for key in dict.fromkeys(keys) if key in self._told}
        new = {key: each for key, each in zip(keys, comparisons, strict=True) if key not in said}
        if new:
            self._told |= (told := dict(zip(new, self._judge.compare(list(new.values())), strict=True)))
            said |= told
        return [said[key] for key in keys]


def _groups(rows: Iterator[InputRow], design: PairDesign) -> Iterator[_RowGroup]:
    begin = 0
    for listed in _listed(rows):
        group = _RowGroup(listed, begin, design)
        begin += group.size
        yield group


def _listed(rows: Iterator[InputRow]) -> Iterator[list[InputRow]]:
    """The rows of each group. All of them have one place, and the next group may have the same place again."""
    for _, at_place in groupby(rows, lambda row: row.place):
        listed: list[InputRow] = []
        for row in at_place:
            if listed and _name(row).endswith("-0-1"):
                yield listed
                listed = []
            listed.append(row)
        yield listed


def _name(row: InputRow) -> str:
    return row.comparison.id if isinstance(row, ComparisonRow) else getattr(row, "id", "")


def _play(groups: Sequence[_RowGroup], judge: PreferenceJudge) -> list[list[Played]]:
    """All comparisons of the groups; a round of all groups goes to the judge at once."""
    played: list[list[Played]] = [[] for _ in groups]
    while asked := [
        (g, pair) for g, group in enumerate(groups) for pair in next_round(group.design, group.count, played[g])
    ]:
        rows = [groups[g].row_of[pair] for g, pair in asked]
        outcomes = iter(judge.compare([row.comparison for row in rows if isinstance(row, ComparisonRow)]))
        for (g, pair), row in zip(asked, rows, strict=True):
            outcome = next(outcomes) if isinstance(row, ComparisonRow) else None
            played[g].append(Played(*pair, outcome.p_a if isinstance(outcome, Preference) else None))
    return played
