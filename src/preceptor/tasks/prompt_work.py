"""What tasks share when one model works on prompts: reading them, asking within a budget, and what failed."""

from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any, TypeVar

from preceptor.backends.base import LanguageModel
from preceptor.backends.connection import Connection
from preceptor.backends.names import check_name
from preceptor.backends.resolve import check_batch, open_model
from preceptor.core.errors import UsageError
from preceptor.core.progress import Progress
from preceptor.core.types import JsonObject, JudgeFailure, Prompt
from preceptor.core.validation import check_count, check_dollars, settings_of
from preceptor.display.progress import shown
from preceptor.judging.specs import check_prices
from preceptor.store.batches import BatchFolder
from preceptor.store.in_memory import name_of
from preceptor.store.ledger import Ledger
from preceptor.store.output import Output, output_folder
from preceptor.store.own_folder import Work, check_own, working_in
from preceptor.store.prompts import read_prompt_rows
from preceptor.store.rows import Malformed
from preceptor.store.tabular import Rows, rows_as_file

Made = TypeVar("Made")


@dataclass(frozen=True)
class Asking:
    """A model that is open, with the record of its calls."""

    model: LanguageModel
    ledger: Ledger
    progress: Progress

    def in_turn(self, prompts: Sequence[Prompt], make: Callable[[Sequence[Prompt]], list[Made]]) -> list[Made]:
        """What is made of each prompt, some prompts at a time."""
        made: list[Made] = []
        at_once = 4 * self.model.concurrency
        for start in range(0, len(prompts), at_once):
            made += make(prompts[start : start + at_once])
            self.progress.advance(len(made), len(prompts))
        return made


@dataclass(frozen=True)
class PromptWork:
    """Work on prompts in a folder, whose ledger records every call, so that the work resumes."""

    output: Output
    kind: Work
    prompts: list[Prompt]
    malformed: int
    """Rows that cannot be used."""
    model: str
    budget: float | None
    connection: Connection | None

    @classmethod
    def on(
        cls,
        prompts: Rows,
        kind: Work,
        *,
        model: str,
        out: str | Path | None,
        limit: int | None,
        budget: float | None,
        connection: Connection | Mapping[str, Any] | None,
    ) -> "PromptWork":
        """Checks what the task was given, and reads the prompts.

        Raises: UsageError on faulty input.
        """
        check_name(model)
        check_count("limit", limit)
        check_dollars("budget", budget)
        connection = settings_of("connection", Connection, connection)
        output = output_folder(out)
        check_own(output.path, kind)
        usable, malformed = _read(prompts, output.path, kind, limit)
        return cls(output, kind, usable, malformed, model, budget, connection)

    @contextmanager
    def begun(self, progress: Progress | None) -> Generator[Asking]:
        """Locks the folder and opens its ledger and the model."""
        folder = self.output.path
        with (
            shown(progress) as display,
            working_in(folder, self.kind),
            Ledger(folder / "ledger.sqlite", self.budget) as ledger,
        ):
            display.stage("opening the model")
            check_batch(self.connection, [self.model])
            opened = open_model(self.model, self.connection, batches=BatchFolder.beside(ledger))
            check_prices(self.budget, [opened])
            yield Asking(opened, ledger, display)

    def failures(self, made: Sequence[object]) -> list[JsonObject]:
        """A row for each prompt that gave nothing because a call failed.

        Args:
            made: what was made of each prompt, in order.
        """
        return [
            {"id": prompt.id, "reason": each.reason, "detail": each.detail}
            for prompt, each in zip(self.prompts, made, strict=True)
            if isinstance(each, JudgeFailure)
        ]


def _read(prompts: Rows, folder: Path, kind: Work, limit: int | None) -> tuple[list[Prompt], int]:
    """The usable prompts, and how many rows cannot be used.

    Raises: UsageError when there is no usable prompt.
    """
    if not isinstance(prompts, str | Path):
        with working_in(folder, kind):
            prompts = rows_as_file(prompts, folder, text_column="prompt", begun=False)
    rows = list(islice(read_prompt_rows(Path(prompts)), limit))
    usable = [row for row in rows if isinstance(row, Prompt)]
    unusable = [row for row in rows if isinstance(row, Malformed)]
    if not usable and unusable:
        raise UsageError(f"{unusable[0].place}: {unusable[0].reason} ({len(unusable)} unusable rows in all)")
    if not usable:
        raise UsageError(f"{name_of(prompts)}: there are no prompts")
    return usable, len(unusable)
