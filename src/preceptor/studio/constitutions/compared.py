"""What two versions of a constitution gave on the same rows."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from preceptor.core.hashing import content_hash
from preceptor.core.types import HumanLabel
from preceptor.evaluation.intervals import Estimate
from preceptor.evaluation.judges.agreement import chosen, correctness, difference_by_prompt, share_by_prompt
from preceptor.judging.position import same_position_wins
from preceptor.results.label import LabelResult
from preceptor.store.outcomes import Outcomes
from preceptor.store.preference_row import PreferenceRow
from preceptor.studio.folders import Work

SHOWN = 50
"""Rows with another verdict that a page shows."""


@dataclass(frozen=True)
class LabelledRow:
    """What a version gave on one row."""

    id: str
    prompt_id: str
    responses: str
    """Hash of prompt and responses, in their order."""
    p_a: float
    same_position: bool | None
    longer_wins: float | None
    """1 if the longer response is preferred, 0 if the shorter, one half if neither; None for equal lengths."""
    human: Literal["a", "b"] | None
    judge: str
    settings: str


@dataclass(frozen=True)
class Side:
    """One version on the rows that both versions labelled."""

    labels: Work
    alignment: Estimate | None
    """Share of rows on which it prefers what most people prefer, over rows that people decided."""
    position_bias: Estimate | None
    longer_preferred: Estimate | None
    judge: str
    settings: str
    usd_per_label: float | None
    """Of the whole folder; None where some price is not known, or there are no labels."""


@dataclass(frozen=True)
class ChangedRow:
    """A row on which the versions prefer different responses."""

    id: str
    before: float
    after: float
    human: Literal["a", "b"] | None


@dataclass(frozen=True)
class Compared:
    """Two versions on the rows that both labelled."""

    before: Side
    after: Side
    rows: int
    agreement: Estimate | None
    """Share of rows on which both prefer the same response; one that is undecided on one side counts half."""
    alignment_change: Estimate | None
    """Alignment of the later version minus that of the earlier, paired by row."""
    changed: Sequence[ChangedRow]
    """At most `SHOWN` of them, the largest changes first."""
    changed_rows: int

    @property
    def other_judge(self) -> bool:
        """Whether the versions were asked of different models or in different ways, so that not all is due to them."""
        return (self.before.judge, self.before.settings) != (self.after.judge, self.after.settings)


def compared(before: Work, after: Work, before_hash: str, after_hash: str) -> Compared | None:
    """Compares two versions by two folders of labels; None if the folders have no row in common.

    Raises: PreceptorError if a folder is damaged or not finished.
    """
    earlier, later = _labelled_rows(before, before_hash), _labelled_rows(after, after_hash)
    pairs = [
        (one, other)
        for name, one in earlier.items()
        if (other := later.get(name)) is not None and other.responses == one.responses
    ]
    if not pairs:
        return None
    changed = [
        ChangedRow(one.id, one.p_a, other.p_a, one.human or other.human)
        for one, other in pairs
        if {chosen(one.p_a), chosen(other.p_a)} == {"a", "b"}
    ]
    changed.sort(key=lambda row: -abs(row.before - row.after))
    decided: list[tuple[LabelledRow, LabelledRow, Literal["a", "b"]]] = [
        (one, other, side) for one, other in pairs if (side := one.human or other.human) is not None
    ]
    return Compared(
        before=_side(before, [one for one, _ in pairs]),
        after=_side(after, [other for _, other in pairs]),
        rows=len(pairs),
        agreement=share_by_prompt([(one.prompt_id, _same(one.p_a, other.p_a)) for one, other in pairs]),
        alignment_change=difference_by_prompt(
            [(one.prompt_id, correctness(other.p_a, side) - correctness(one.p_a, side)) for one, other, side in decided]
        )
        if decided
        else None,
        changed=changed[:SHOWN],
        changed_rows=len(changed),
    )


def _side(labels: Work, rows: Sequence[LabelledRow]) -> Side:
    result = LabelResult.load(labels.path)
    priced = not result.ledger.unpriced and result.counts.preferences
    return Side(
        labels=labels,
        alignment=share_by_prompt([(row.prompt_id, correctness(row.p_a, row.human)) for row in rows if row.human]),
        position_bias=share_by_prompt(
            [(row.prompt_id, float(row.same_position)) for row in rows if row.same_position is not None]
        ),
        longer_preferred=share_by_prompt(
            [(row.prompt_id, row.longer_wins) for row in rows if row.longer_wins is not None]
        ),
        judge=rows[0].judge,
        settings=rows[0].settings,
        usd_per_label=result.ledger.cost_usd / result.counts.preferences if priced else None,
    )


def _labelled_rows(labels: Work, constitution_hash: str) -> dict[str, LabelledRow]:
    """What a version gave, by the row's id."""
    rows = Outcomes(labels.path).preference_rows()
    return {row.id: _row(row) for row in rows if row.constitution_hash == constitution_hash}


def _row(row: PreferenceRow) -> LabelledRow:
    a, b = (sum(len(message.content) for message in response) for response in row.responses)
    human = None if row.human_p_a is None else HumanLabel(p_a=row.human_p_a).majority
    longer = None if a == b else correctness(row.p_a, "a" if a > b else "b")
    wire = [[message.wire() for message in messages] for messages in (row.prompt, *row.responses)]
    return LabelledRow(
        id=row.id,
        prompt_id=row.prompt_id,
        responses=content_hash(wire),
        p_a=row.p_a,
        same_position=same_position_wins([(verdict.order, verdict.p_a) for verdict in row.verdicts]),
        longer_wins=longer,
        human=None if human in (None, "tie") else human,
        judge=row.judge,
        settings=row.settings,
    )


def _same(one: float, other: float) -> float:
    sides = {chosen(one), chosen(other)}
    return 1.0 if len(sides) == 1 else 0.5 if "tie" in sides else 0.0
