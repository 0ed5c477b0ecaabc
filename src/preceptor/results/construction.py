"""The result of constructing pairs: a folder of pairs, of what was dropped, and of failures."""

from preceptor.display.table import Table, pairs
from preceptor.judging.construction import ConstructionSettings, WhyDropped
from preceptor.results.pairs import PAIRS, PairsResult
from preceptor.store.ledger import LedgerTotals

DROPPED = "dropped.jsonl"


class ConstructionResult(PairsResult):
    """Constructed pairs: `preferences.jsonl` has the answer to each prompt over the answer to a changed prompt."""

    prompts: int
    malformed: int
    """Rows of the input that cannot be used."""
    pairs: int
    dropped: dict[WhyDropped, int]
    """Prompts without a pair although every call was answered, by the reason; `dropped.jsonl` lists them."""
    failed: int
    model: str
    """Identity of the model."""
    settings: ConstructionSettings
    ledger: LedgerTotals
    environment: dict[str, str | int]
    """Versions and hardware."""

    def table(self) -> Table:
        """The outcomes of the prompts, and where the pairs are."""
        rows = [
            ("pairs", f"{self.pairs} of {self.prompts} prompts"),
            *((f"dropped: {reason}", str(count)) for reason, count in self.dropped.items() if count),
            ("failed", str(self.failed)),
            ("unusable rows", str(self.malformed)),
            ("pairs in", str(self.path / PAIRS)),
        ]
        return pairs(rows, notes=[f"note: {note}" for note in self.notes])
