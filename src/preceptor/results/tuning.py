"""What tuning a constitution returns: every wording that was tried, and what the best one gained on rows never used."""

from pathlib import Path
from typing import ClassVar

from preceptor.core.numbers import NONE, listed, number, points, points_interval, share
from preceptor.core.raters import ConstitutionName
from preceptor.core.types import Frozen
from preceptor.display.table import Column, Table
from preceptor.evaluation.intervals import Estimate
from preceptor.results.base import Result
from preceptor.store.ledger import LedgerTotals

TUNED = "constitution.toml"
"""The file with the best wording."""


class Wording(Frozen):
    """A version of the constitution that was tried."""

    constitution: ConstitutionName
    parent: str | None
    """Hash of the version that it was made from; None for the original."""
    changed: tuple[str, ...]
    """The parts in which it differs from its parent."""
    score: float
    """Mean probability that the judge gave to what people prefer, on the validation rows; a failure counts as 0."""


class TuneResult(Result):
    """A reworded constitution. The validation rows chose the wording; only the test rows say what it is worth."""

    FILE: ClassVar[str] = "tune.json"

    judge: str
    """Identity of the judge's model."""
    variant: str
    writer: str
    """Identity of the model that rewords."""
    original: ConstitutionName
    best: ConstitutionName
    """The wording with the highest score on the validation rows; the original if none is better."""
    wordings: tuple[Wording, ...]
    """All that were kept during the search, the original first."""
    learning_rows: int
    """Rows from which the rewriter is shown disputes."""
    validation_rows: int
    """Rows that choose among wordings."""
    test_rows: int
    """Rows that are used once, at the end."""
    before: Estimate | None
    """Agreement with people on the test rows, by the original."""
    after: Estimate | None
    """The same by the best wording."""
    gain: Estimate | None
    """The difference on the rows that both answered, with its interval over prompts."""
    comparisons: int
    """Comparisons that the search asked for."""
    malformed: int
    """Answers of the rewriter that held no usable text."""
    test_failures: int
    """Judgements of test rows, by either wording, that failed; they are no numbers."""
    ledger: LedgerTotals
    environment: dict[str, str | int]

    @property
    def file(self) -> Path:
        """The file with the best wording."""
        return self.path / TUNED

    @property
    def gain_shown(self) -> bool:
        """Whether the best wording agrees more with people beyond chance."""
        return self.gain is not None and self.gain.low is not None and self.gain.low > 0

    @property
    def headline(self) -> str:
        """The result in a sentence."""
        if self.best.hash == self.original.hash:
            return "No gain shown: no wording was better than the original on the validation rows."
        if self.gain is None or self.gain.interval is None:
            return "No gain shown: too few test rows were answered by both wordings."
        said = f"agreement with people {share(self.before)} before, {share(self.after)} after"
        gained = f"{points(self.gain.value, signed=True)} points {points_interval(*self.gain.interval, signed=True)}"
        on = f"on {self.gain.n} rows never used before ({gained})"
        if self.gain_shown:
            return f"The new wording agrees more with people: {said}, {on}."
        if self.gain.high is not None and self.gain.high < 0:
            return f"The new wording agrees less with people: {said}, {on}. Keep the original."
        return f"No gain shown: {said}, {on}."

    def table(self) -> Table:
        """The wordings that were tried, the original first."""
        return Table(
            (Column("wording"), Column("from"), Column("changed"), Column("validation", "right")),
            [
                (
                    wording.constitution.hash[:8],
                    NONE if wording.parent is None else wording.parent[:8],
                    ", ".join(wording.changed) or "the original",
                    number(wording.score, 3),
                )
                for wording in self.wordings
            ],
            title=f"{self.original.name}: {self.comparisons} comparisons, {len(self.wordings)} wordings kept",
            headline=self.headline,
            notes=[
                "validation: mean probability of what people prefer; it chose the wording and proves nothing",
                *([f"{self.malformed} answers of the rewriter held no usable text"] if self.malformed else []),
                *([f"wording {self.file}"] if self._output is not None else []),
            ],
        )


def in_words(wording: Wording) -> str:
    """What a wording gave in a search, for the list of a constitution's versions."""
    changed = listed(wording.changed or ("nothing",))
    made = "the original" if wording.parent is None else f"{changed} of {wording.parent[:8]} reworded"
    return (
        f"tried in a search ({made}): what people prefer had a mean probability of {number(wording.score, 3)} on the "
        "validation rows"
    )
