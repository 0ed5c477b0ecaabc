"""Which human labels can represent the other comparisons, given how the labelled comparisons were chosen."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from preceptor.core.errors import UsageError
from preceptor.evaluation.judges.prediction_powered import JudgedRow, labels_worth
from preceptor.store.in_memory import name_of
from preceptor.store.selection import DISPUTED, NOT_SAID, Selection

RANDOM = "random"
WITHIN_COHORT = "cohort"
NEARLY_ALIKE = 0.95
"""Labels count as a random sample if unequal weights reduce the effective sample size by at most a twentieth."""


@dataclass(frozen=True)
class Label:
    """People's label of one comparison."""

    p_a: float
    selection: Selection
    """How it was chosen for people to label."""


@dataclass(frozen=True)
class Asked:
    """One comparison that an estimate is about."""

    position: int
    """Its position in the file of judged comparisons."""
    row: JudgedRow
    input: Selection
    """How the comparison itself was chosen, before it was judged."""
    label: Selection
    """How it was chosen for people to label, according to the label."""

    @property
    def said(self) -> Selection:
        """How it was chosen, as far as the rows say; disputed if the input or the label says so."""
        if DISPUTED in (self.input, self.label):
            return DISPUTED
        return self.label if self.label.how else self.input


@dataclass(frozen=True)
class Usable:
    """The comparisons, with only the usable labels."""

    rows: list[JudgedRow]
    chosen: dict[str, int]
    """How the comparisons with usable labels were chosen, counted; empty if people labelled every comparison."""
    disputed: int = 0
    """Labels left out."""


def usable_labels(
    asked: Sequence[Asked], judged: Path, people: Path | None, sample: str | None, written: Mapping[str, Selection]
) -> Usable:
    """The labels that can be used.

    If people labelled every comparison, nothing was chosen. Otherwise the rows say how the comparisons were chosen, or
    `sample` says it, or the files for people that were written beside the labels.

    Args:
        judged: the judged comparisons, for errors.
        people: the file of labels; None if the judged rows hold them.
        sample: how rows that do not say it were chosen; None if unknown.
        written: how comparisons were chosen in files for people, by their ids.

    Raises: UsageError if the labels are only of disputed comparisons, come from two designs or leave out a cohort, or
        if it is not known how their comparisons were chosen.
    """
    if sample not in (None, RANDOM):
        raise UsageError(f'sample "{sample}": expected "random"; labels of any other sample cannot be used')
    labelled = [comparison for comparison in asked if comparison.row.human is not None]
    whole = len(labelled) == len(asked) and all(comparison.input != DISPUTED for comparison in asked)
    if not labelled or whole:
        return Usable([comparison.row for comparison in asked], {})
    place = name_of(people or judged)
    chosen = {row.position: row.said for row in labelled}
    if any(selection.how is None for selection in chosen.values()):
        chosen = _asked_for(labelled, chosen, place, sample, written, few=len(asked))
    kept = {position: selection for position, selection in chosen.items() if selection != DISPUTED}
    if not kept:
        raise UsageError(
            f"{place}: all {len(labelled)} labels are of comparisons chosen because judges dispute them. These do "
            "not represent the others, so nothing can be estimated from them; have people label a random sample, "
            "which the estimate draws if it is given a plan of N labels"
        )
    counts = Counter(str(selection.how) for selection in kept.values())
    if counts[WITHIN_COHORT]:
        kept = _by_cohort(asked, kept, counts, place)
    rows = [_with_probability(comparison, kept.get(comparison.position)) for comparison in asked]
    if len(counts) > 1:
        rows = _as_random(rows, counts, place)
    return Usable(rows, dict(counts), len(labelled) - len(kept))


def _asked_for(
    labelled: Sequence[Asked],
    chosen: Mapping[int, Selection],
    place: str,
    sample: str | None,
    written: Mapping[str, Selection],
    few: int,
) -> dict[int, Selection]:
    """How the labelled comparisons were chosen, if some rows do not say it.

    If the file written for people lists every labelled comparison as disputed, they count as disputed whatever `sample`
    says: a random sample would also contain others.

    Args:
        few: number of comparisons; if all of them were written for people, the file says nothing.
    """
    listed = {row.position: written.get(row.row.id, NOT_SAID) for row in labelled}
    disputed = sum(selection == DISPUTED for selection in written.values()) < few and all(
        DISPUTED in (chosen[position], selection) for position, selection in listed.items()
    )
    selections: dict[int, Selection] = {}
    for row in labelled:
        unsaid = Selection("random") if sample and not disputed else listed[row.position]
        selections[row.position] = chosen[row.position] if chosen[row.position].how else unsaid
    if unknown := sum(selection.how is None for selection in selections.values()):
        raise UsageError(
            f"{place}: {unknown} of {len(labelled)} labels do not say how their comparisons were chosen; say "
            "that the sample is random if they are a random sample of all, or have people label those that a plan draws"
        )
    return selections


def _by_cohort(
    asked: Sequence[Asked], kept: Mapping[int, Selection], counts: Mapping[str, int], place: str
) -> dict[int, Selection]:
    """The selections of labels that were drawn within cohorts: planned, with the share of its cohort that was labelled.

    Raises: UsageError if a cohort has no label, or other labels were drawn in another way.
    """
    rows = Counter(comparison.row.cohort for comparison in asked)
    labels = Counter(comparison.row.cohort for comparison in asked if comparison.position in kept)
    if others := len(kept) - counts[WITHIN_COHORT]:
        raise UsageError(
            f"{place}: {counts[WITHIN_COHORT]} labels were drawn within cohorts and {others} in another way; estimate "
            "from one kind at a time"
        )
    if missing := sorted(rows.keys() - labels.keys()):
        raise UsageError(
            f'{place}: the labels were drawn within cohorts, and none is of "{missing[0]}", one of the {len(rows)} '
            "cohorts of the judged comparisons; judge only the cohorts that people labelled, or have people label "
            "some comparisons of every cohort"
        )
    chances = {cohort: labels[cohort] / count for cohort, count in rows.items()}
    return {row.position: Selection("planned", chances[row.row.cohort]) for row in asked if row.position in kept}


def _with_probability(asked: Asked, selection: Selection | None) -> JudgedRow:
    """The row, without its label if that cannot be used, and with the probability of a planned label."""
    if selection is None:
        return replace(asked.row, human=None)
    return replace(asked.row, probability=selection.probability)


def _as_random(rows: Sequence[JudgedRow], counts: Mapping[str, int], place: str) -> list[JudgedRow]:
    """Combines the rows of a random sample with those of a plan that is nearly a random sample.

    Raises: UsageError if the plan is not.
    """
    planned = [row if row.probability is not None else replace(row, human=None) for row in rows]
    prompts = len({row.prompt_id for row in planned if row.human is not None})
    if labels_worth(planned) < NEARLY_ALIKE * prompts:
        raise UsageError(
            f"{place}: {counts['planned']} labels are planned with unequal probabilities and {counts[RANDOM]} are of a "
            "random sample; estimate from one kind at a time"
        )
    return [replace(row, probability=None) for row in rows]
