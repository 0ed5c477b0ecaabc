"""What the report of a run with rounds says of them, in sentences and as rows of a table."""

from collections.abc import Iterator
from dataclasses import dataclass

from preceptor.core.numbers import estimate, number
from preceptor.evaluation.intervals import Estimate
from preceptor.results.rounds import RoundRecord, RoundsRecord
from preceptor.results.run import RunSummary

SELF_REWARDING = (
    "The policy was its own judge in training (self-rewarding), so only the held-out judge proves anything."
)


@dataclass(frozen=True)
class RoundRow:
    """A round in the report's table."""

    record: RoundRecord
    kept: bool
    notes: str
    """What is worth knowing of it, in a few words."""


def rounds_in_words(summary: RunSummary, record: RoundsRecord) -> Iterator[str]:
    """What the rounds were, why they ended, and how the model that was kept was chosen."""
    done, prompts = len(record.rounds), summary.prompts
    planned = f", of {record.planned} planned" if done < record.planned else ""
    yield (
        f"This was done in {done} {'round' if done == 1 else 'rounds'}{planned}. A round began with the policy that "
        f"the one before it had kept; {_REFERENCES[record.reference]}."
    )
    if record.self_rewarding:
        yield "In each round, the policy that it began with was the judge."
    yield from _labels(record)
    if record.stopped is not None:
        yield f"The rounds ended early: {record.stopped}."
    chosen = (
        f"The model of round {record.best} was kept, whose gain over the first policy has the highest lower bound on "
        f"{prompts.validation} validation prompts"
        if record.best
        else f"The first policy was kept: on {prompts.validation} validation prompts, no round within the bounds "
        "scored higher on average"
    )
    yield (
        f"{chosen}. The result comes from {prompts.test} test prompts, which were used "
        "neither for training, nor to stop, nor for the choice."
    )


def round_warnings(record: RoundsRecord) -> Iterator[str]:
    """Reasons to doubt the rounds."""
    for each in record.rounds:
        if record.self_rewarding and each.drifts:
            yield (
                f"In round {each.number}, the policy's score of itself rose ({signed(each.judge_change)}) where the "
                f"held-out judge showed no gain beyond chance ({signed(each.test_change)}): the judge may be drifting."
            )
        if each.over_optimised_from is not None:
            yield (
                f"Round {each.number} over-optimised from step {each.over_optimised_from} on; it kept step "
                f"{each.kept_step}."
            )
    if record.best == 0:
        return
    kept = record.rounds[record.best - 1]
    if kept.gain is None or kept.gain.low is None or kept.gain.low <= 0:
        yield "On the validation prompts the gain of the kept round over the first policy is not beyond chance."


def rounds_in_lines(record: RoundsRecord) -> Iterator[str]:
    """A line for each round, for a terminal, and why they ended early."""
    for each in record.rounds:
        kept = " (kept)" if each.number == record.best else ""
        yield f"round {each.number}{kept}: gain {signed(each.gain)} validation, {signed(each.test_gain)} test"
    if record.best == 0:
        yield "the first policy was kept: no round gained"
    if record.stopped is not None:
        yield f"the rounds ended: {record.stopped}"


def rows(record: RoundsRecord) -> list[RoundRow]:
    """A row for each round."""
    return [RoundRow(each, each.number == record.best, _notes(each)) for each in record.rounds]


def signed(value: Estimate | None) -> str:
    """An estimate of a change."""
    return estimate(value, signed=True)


_REFERENCES = {
    "last": "that policy was also the reference of the KL and of the loss",
    "first": "the first policy was the reference of the KL and of the loss in all of them",
}


def _labels(record: RoundsRecord) -> Iterator[str]:
    """What became of the labels of earlier rounds, if the method labels."""
    if not any(each.labels for each in record.rounds):
        return
    if record.earlier_labels == 0:
        yield "Labels of earlier rounds were dropped."
    elif record.earlier_labels == 1:
        yield "Labels of earlier rounds were kept, with their full weight."
    else:
        yield (
            f"Labels of earlier rounds were kept; with each round, their weight was multiplied by "
            f"{record.earlier_labels:g}."
        )


def _notes(each: RoundRecord) -> str:
    notes = [
        "kept the policy that it began with" if each.unchanged else f"step {each.kept_step} of {each.steps}",
        *([each.broken] if each.broken is not None else []),
        *([f"perplexity {number(each.perplexity_ratio)} times the first"] if each.perplexity_ratio is not None else []),
    ]
    return "; ".join(notes)
