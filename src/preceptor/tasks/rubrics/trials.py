"""What is seen of each proposed item, and which items stay: a prompt's items are tried on its candidate responses."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace

from preceptor.core.rubric import Rubric, RubricItem
from preceptor.core.types import Response
from preceptor.judging.rubrics.keeping import (
    Reason,
    Trial,
    against_people,
    agreement_with,
    flips,
    flips_too_often,
    normalised,
    repeated,
    same_for_all,
)
from preceptor.results.rubrics import RubricItemOutcome
from preceptor.tasks.rubrics.cases import Case


@dataclass(frozen=True)
class Tried:
    """One item of a prompt, what was seen of it, and why it is dropped; None if it stays."""

    item: RubricItem
    trial: Trial | None = None
    """None if it was not judged: as a repetition, or because there are too few candidates."""
    rephrased: str | None = None
    reason: Reason | None = None
    repeats: str | None = None
    """The earlier criterion that it repeats."""
    people: tuple[bool, ...] = ()
    """For each labelled pair that items of these words tell apart, whether they agree with people."""

    def outcome(self, prompt_id: str) -> RubricItemOutcome:
        """The item's line in the file of all items."""
        changed, compared = (0, 0) if self.trial is None else flips(self.trial)
        return RubricItemOutcome(
            id=prompt_id,
            item=self.item,
            outcome=self.reason or "kept",
            repeats=self.repeats,
            met=None if self.trial is None else self.trial.met_C,
            rephrased=self.rephrased,
            met_rephrased=None if self.trial is None else self.trial.rephrased_C,
            flipped=changed,
            compared=compared,
            people_agree=sum(self.people),
            people_pairs=len(self.people),
        )


def without_repetitions(items: Sequence[RubricItem]) -> list[Tried]:
    """The items, those that repeat an earlier one dropped. Items that code checks repeat nothing."""
    by_model = [item.checked_by in ("judge", "reference") for item in items]
    stated = [(item.criterion, item.points) for item, own in zip(items, by_model, strict=True) if own]
    earlier = iter(repeated(stated))
    tried: list[Tried] = []
    for item, own in zip(items, by_model, strict=True):
        position = next(earlier) if own else None
        tried.append(
            Tried(
                item,
                reason=None if position is None else "duplicate",
                repeats=None if position is None else stated[position][0],
            )
        )
    return tried


def told_apart(tried: Tried, met_C: Sequence[float | None]) -> Tried:
    """The item with its verdicts; dropped if all or none of the candidates meet it, or too few could be judged."""
    return replace(tried, trial=Trial(tuple(met_C)), reason=same_for_all(met_C))


def robust(tried: Tried, rephrased: str, met_C: Sequence[float | None]) -> Tried:
    """The item with the verdicts on its rephrasing; dropped if too many differ."""
    assert tried.trial is not None
    trial = replace(tried.trial, rephrased_C=tuple(met_C))
    return replace(tried, trial=trial, rephrased=rephrased, reason="flips" if flips_too_often(trial) else None)


def with_people(cases: Sequence[Case], tried_P: Sequence[Sequence[Tried]]) -> list[list[Tried]]:
    """The items, those that contradict people dropped. Items of the same words, of any prompts, are tested together."""
    agrees: defaultdict[str, list[bool]] = defaultdict(list)
    for case, tried_I in zip(cases, tried_P, strict=True):
        for tried in tried_I:
            agrees[normalised(tried.item.criterion)] += _agreements(case, tried)
    return [[_tested(tried, tuple(agrees[normalised(tried.item.criterion)])) for tried in each] for each in tried_P]


def _tested(tried: Tried, people: tuple[bool, ...]) -> Tried:
    if tried.reason is not None:
        return tried
    return replace(tried, people=people, reason="against people" if against_people(people) else None)


def _agreements(case: Case, tried: Tried) -> list[bool]:
    """Whether a kept item agrees with people, for each label of its prompt that it can be tested by."""
    if tried.reason is not None or tried.trial is None:
        return []
    met, points = tried.trial.met_C, tried.item.points
    found = [agreement_with(points, met[label.a], met[label.b], label.p_a) for label in case.tests]
    return [agrees for agrees in found if agrees is not None]


def rubric_of_kept(old: Rubric | None, tried_I: Sequence[Tried]) -> Rubric | None:
    """The rubric of the items that stay, one version above the old one; None if no merit is among them."""
    kept = tuple(tried.item for tried in tried_I if tried.reason is None)
    if not any(item.points > 0 for item in kept):
        return None
    return Rubric(items=kept, name=old and old.name, version=1 if old is None else old.version + 1)


def candidates_of(case: Case, sampled: Sequence[Response], most: int) -> list[Response]:
    """The responses on which a prompt's items are tried: those of its rows, then sampled ones up to `most`."""
    own = list(case.responses)
    return own + list(sampled)[: max(0, most - len(own))]
