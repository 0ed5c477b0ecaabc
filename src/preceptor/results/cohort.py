"""The result of turning traces into a cohort of prompts: counts. The prompts themselves are in a file."""

from pathlib import Path
from typing import Self

from pydantic import ValidationError

from preceptor.core.errors import UsageError
from preceptor.core.validation import first_problem
from preceptor.display.table import Table, pairs
from preceptor.results.base import Tabular
from preceptor.store.files import read_json, write_json


class CohortResult(Tabular):
    """What was read, left out, masked and added. It can be used where a path of prompts is expected."""

    out: str
    """The file of prompts."""
    cohort: str
    calls: int
    """Model calls in the traces."""
    without_content: int
    """Calls whose messages were not recorded."""
    hint: str | None
    """How to record them."""
    malformed: int
    malformed_first: tuple[str, ...]
    """The first unusable rows."""
    conversations: int
    duplicates: int
    near_duplicates: int
    left_out_by_limit: int
    added: int
    with_signals: int
    """Added prompts with signs that the conversation went wrong."""
    signals: dict[str, int]
    """Added prompts by sign; see `preceptor.tasks.cohort.SIGNALS`."""
    masked: dict[str, int] | None
    """What was masked in the added prompts, by kind; None when masking was off."""
    not_masked: str
    """What masking does not detect."""
    prompts: int
    """All prompts in the file."""

    @property
    def path(self) -> Path:
        """The file of prompts."""
        return Path(self.out)

    def __fspath__(self) -> str:
        """The file of prompts as text."""
        return self.out

    @classmethod
    def load(cls, prompts: str | Path) -> Self:
        """Reads what `cohort` last did to a file of prompts, from the summary beside it.

        Raises: PreceptorError when there is no summary, or it is damaged; UsageError when it is of something else.
        """
        file = summary_of(Path(prompts))
        try:
            return cls.model_validate(read_json(file) | {"out": str(prompts)})
        except ValidationError as error:
            raise UsageError(f"{file}: is not the summary of a cohort: {first_problem(error)}") from error

    def save(self) -> Self:
        """Writes the result beside the file of prompts.

        Raises: PreceptorError when it cannot be written.
        """
        write_json(summary_of(self.path), self.model_dump(mode="json", exclude={"out"}))
        return self

    @property
    def warnings(self) -> tuple[str, ...]:
        """What a person should know before the prompts are used."""
        return (*([self.hint] if self.hint else []), self.not_masked)

    def table(self) -> Table:
        """The counts that are not zero, and the file."""
        rows = [("calls in the traces", str(self.calls))]
        if self.without_content:
            rows.append(("calls without content", str(self.without_content)))
        if self.malformed:
            rows.append(("unusable rows", str(self.malformed)))
        rows.append(("conversations", str(self.conversations)))
        rows.append(("duplicates", f"{self.duplicates} exact, {self.near_duplicates} near"))
        if self.left_out_by_limit:
            rows.append(("left out by the limit", str(self.left_out_by_limit)))
        rows.append(("prompts added", f"{self.added}, {self.with_signals} of them with signs of failure"))
        rows += [(f"  {name.replace('_', ' ')}", str(count)) for name, count in self.signals.items()]
        if self.masked is not None:
            rows.append(("masked in them", ", ".join(f"{n} {kind}" for kind, n in self.masked.items()) or "nothing"))
        unusable = [f"unusable: {place}" for place in self.malformed_first]
        return pairs(rows, notes=[*unusable, *self.warnings, f"{self.prompts} prompts in {self.out}"])


def summary_of(prompts: Path) -> Path:
    """The file in which `cohort` keeps what it last did to a file of prompts: `NAME.summary.json`."""
    return prompts.with_suffix(".summary.json")
