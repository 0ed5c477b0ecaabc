"""The result of critique and revision: preference pairs and data for fine-tuning, in a folder."""

from typing import TYPE_CHECKING

from preceptor.core.raters import ConstitutionName
from preceptor.display.table import Table, pairs
from preceptor.judging.revision import RevisionSettings
from preceptor.results.pairs import PAIRS, PairsResult
from preceptor.store.files import read_rows
from preceptor.store.ledger import LedgerTotals

if TYPE_CHECKING:
    import datasets

DEMONSTRATIONS = "sft.jsonl"


class RevisionResult(PairsResult):
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
    environment: dict[str, str | int]
    """Versions and hardware."""

    def to_dataset(self) -> "datasets.Dataset":
        """The revised answers as conversations that TRL's `SFTTrainer` can train on. Needs the package datasets."""
        import datasets

        return datasets.Dataset.from_list(read_rows(self.path / DEMONSTRATIONS))

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
