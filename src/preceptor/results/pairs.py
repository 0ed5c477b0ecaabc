"""What results share when a model makes preference pairs from prompts, without a judge."""

from typing import TYPE_CHECKING

from preceptor.core.types import Frozen
from preceptor.results.base import Result
from preceptor.store.files import read_rows

if TYPE_CHECKING:
    import datasets

PAIRS = "preferences.jsonl"
FAILURES = "failures.jsonl"


class PromptFailure(Frozen):
    """A prompt that gave nothing because a call failed, and why."""

    id: str
    reason: str
    detail: str


class PairsResult(Result):
    """Base of results with pairs in `preferences.jsonl` and failed prompts in `failures.jsonl`."""

    notes: tuple[str, ...]
    """What a person should know about the costs."""

    @property
    def warnings(self) -> tuple[str, ...]:
        """What a person should know about the result."""
        return self.notes

    @property
    def failures(self) -> tuple[PromptFailure, ...]:
        """The prompts that gave nothing because a call failed; read from `failures.jsonl`."""
        return tuple(map(PromptFailure.model_validate, read_rows(self.path / FAILURES)))

    def to_preferences(self) -> "datasets.Dataset":
        """The pairs, which TRL's `DPOTrainer` can train on. Needs the package datasets."""
        import datasets

        return datasets.Dataset.from_list(read_rows(self.path / PAIRS))
