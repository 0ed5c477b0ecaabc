"""The result of critique and revision: preference pairs and data for fine-tuning, in a folder."""

from typing import TYPE_CHECKING

from preceptor.core.raters import ConstitutionName
from preceptor.core.types import Frozen
from preceptor.display.table import Table, pairs
from preceptor.judging.revision import RevisionSettings
from preceptor.results.base import Result
from preceptor.store.files import read_rows
from preceptor.store.ledger import LedgerTotals

if TYPE_CHECKING:
    import datasets

PAIRS = "preferences.jsonl"
DEMONSTRATIONS = "sft.jsonl"
FAILURES = "failures.jsonl"


class RevisionFailure(Frozen):
    """A prompt without a revised answer, and why."""

    id: str
    reason: str
    detail: str


class RevisionResult(Result):
    """Revised answers: `preferences.jsonl` has each revision over its draft, `sft.jsonl` each prompt and revision."""

    prompts: int
    malformed: int
    """Rows of the input that cannot be used."""
    revised: int
    unchanged: int
    """Revised answers that equal their drafts; they make no pair."""
    failed: int
    model: str
    """Identity of the model."""
    constitution: ConstitutionName
    settings: RevisionSettings
    ledger: LedgerTotals
    notes: tuple[str, ...]
    """What a person should know about the costs."""
    environment: dict[str, str | int]
    """Versions and hardware."""

    @property
    def warnings(self) -> tuple[str, ...]:
        """What a person should know about the result."""
        return self.notes

    @property
    def failures(self) -> tuple[RevisionFailure, ...]:
        """The prompts without a revised answer; read from `failures.jsonl`."""
        return tuple(map(RevisionFailure.model_validate, read_rows(self.path / FAILURES)))

    def to_dataset(self) -> "datasets.Dataset":
        """The revised answers as conversations that TRL's `SFTTrainer` can train on. Needs the package datasets."""
        import datasets

        return datasets.Dataset.from_list(read_rows(self.path / DEMONSTRATIONS))

    def to_preferences(self) -> "datasets.Dataset":
        """The pairs, revision over draft, that TRL's `DPOTrainer` can train on. Needs the package datasets."""
        import datasets

        return datasets.Dataset.from_list(read_rows(self.path / PAIRS))

    def table(self) -> Table:
        """The outcomes of the prompts, and where the files are."""
        rows = [
            ("revised", f"{self.revised}, {self.unchanged} of them unchanged"),
            ("failed", str(self.failed)),
            ("unusable rows", str(self.malformed)),
            ("pairs", str(self.path / PAIRS)),
            ("fine-tuning data", str(self.path / DEMONSTRATIONS)),
        ]
        return pairs(rows, notes=[f"note: {note}" for note in self.notes])
