"""The outcome of each comparison, in one of two append-only files: `preferences.jsonl` and `failures.jsonl`.

Every row carries `row`, the number of its outcome. Together the files hold 0, 1, 2, ..., each number once, ascending
in each file. A process killed while it appends leaves a torn line or a gap at the end; `resume` cuts the files
back to their complete part, and work continues from there.
"""

import json
import os
from collections.abc import Callable, Generator, Iterator, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any, Protocol, TypeVar

from preceptor.core.errors import PreceptorError, UsageError
from preceptor.store.files import writing
from preceptor.store.preference_row import FailureRow, PreferenceRow
from preceptor.store.rows import LONGEST_LINE, Malformed, Row, read_raw_rows

T = TypeVar("T")


class OutcomeRow(Protocol):
    """A row of either file."""

    @property
    def row(self) -> int:
        """Number of the outcome."""
        ...

    def wire(self) -> Row:
        """The row as it is written, its number in the column `row`."""
        ...


class Outcomes:
    """The outcomes in an existing folder, for one process at a time."""

    def __init__(self, folder: Path, longest_line: int = LONGEST_LINE) -> None:
        """longest_line: bytes of the longest row that any reader takes; a longer one counts as torn."""
        self._longest_line = longest_line
        self.preferences = folder / "preferences.jsonl"
        self.failures = folder / "failures.jsonl"
        self._next: int | None = None
        """Number of the next outcome; None if the files may be torn and have not been checked since."""

    def append(self, kept: Sequence[OutcomeRow], failed: Sequence[OutcomeRow]) -> None:
        """Appends the next chunk and waits until it is on disk. Each list ascends by `row`.

        Raises: ValueError when the numbers do not continue from the last one or a row holds NaN; PreceptorError when
            the files cannot be written. Complete rows stay, and the rest is cut off before the next append.
        """
        start = self.resume() if self._next is None else self._next
        for rows in (kept, failed):
            if any(one.row >= other.row for one, other in pairwise(rows)):
                raise ValueError("outcomes must be appended in ascending order")
        numbers = sorted(row.row for row in (*kept, *failed))
        if numbers != list(range(start, start + len(numbers))):
            raise ValueError(f"expected outcomes from {start} on, each once, got {numbers[:3]}...{numbers[-3:]}")
        texts = [(self.preferences, _lines(kept)), (self.failures, _lines(failed))]
        self._next = None
        for path, text in texts:
            _append(path, text)
        self._next = start + len(numbers)

    def resume(self, multiple: int = 1) -> int:
        """Cuts off torn lines, and outcomes beyond a multiple of `multiple`. Returns the number of outcomes left.

        Reads both files a line at a time.
        """
        complete = self._accept(None)
        self._next = self._accept(complete - complete % multiple)
        return self._next

    def preference_rows(self) -> Iterator[PreferenceRow]:
        """The rows of `preferences.jsonl`, one at a time.

        Raises: PreceptorError when the file is damaged.
        """
        return (_checked(PreferenceRow.read, row, place) for place, row in _raw(self.preferences))

    def failure_rows(self) -> Iterator[FailureRow]:
        """The rows of `failures.jsonl`, one at a time.

        Raises: PreceptorError when the file is damaged.
        """
        return (_checked(FailureRow.read, row, place) for place, row in _raw(self.failures))

    def _accept(self, most: int | None) -> int:
        """Cuts off incomplete outcomes, and those beyond `most`. Returns how many are left."""
        files = [_File(path, self._longest_line) for path in (self.preferences, self.failures)]
        number = 0
        while number != most and (holders := [file for file in files if file.head == number]):
            holders[0].advance()
            number += 1
        for file in files:
            file.cut()
        return number

    def clear(self) -> None:
        """Removes both files."""
        for path in (self.preferences, self.failures):
            with writing(path):
                path.unlink(missing_ok=True)
        self._next = None


class _File:
    """One of the two files, read row by row up to the first line that is torn."""

    def __init__(self, path: Path, longest_line: int) -> None:
        self._path = path
        self._rows = _numbers(path, longest_line)
        self._accepted = 0
        self._read = 0
        self.head: int | None = None
        """Number of the next row; None at the end."""
        self._fetch()

    def advance(self) -> None:
        """Accepts the current row and goes on to the next."""
        self._accepted = self._read
        self._fetch()

    def _fetch(self) -> None:
        self.head, self._read = next(self._rows, (None, self._read))

    def cut(self) -> None:
        """Truncates the file after the last accepted row."""
        self._rows.close()
        with writing(self._path):
            if self._path.exists() and self._path.stat().st_size > self._accepted:
                with self._path.open("r+b") as stream:
                    stream.truncate(self._accepted)
                    os.fsync(stream.fileno())


def _numbers(path: Path, longest_line: int) -> Generator[tuple[int, int]]:
    """(number, offset of the byte after the row) of each complete row, up to the first one that is unreadable."""
    if not path.exists():
        return
    offset = 0
    with writing(path), path.open("rb") as stream:
        while line := stream.readline(longest_line):
            offset += len(line)
            try:
                number: Any = json.loads(line)["row"] if line.endswith(b"\n") else None
            except (ValueError, KeyError, TypeError):
                return
            if not isinstance(number, int):
                return
            yield number, offset


def _raw(path: Path) -> Iterator[tuple[str, Row | Malformed]]:
    return read_raw_rows(path) if path.exists() else iter(())


def _checked(read: Callable[[Row | Malformed, str], T], row: Row | Malformed, place: str) -> T:
    try:
        return read(row, place)
    except UsageError as error:
        raise PreceptorError(f"{error}; `label` wrote this file: restore it, or begin anew") from error


def _lines(rows: Sequence[OutcomeRow]) -> bytes:
    text = "".join(json.dumps(row.wire(), ensure_ascii=False, allow_nan=False) + "\n" for row in rows)
    return text.encode("utf-8", "replace")  # half of a surrogate pair, in a model's words, becomes a question mark


def _append(path: Path, text: bytes) -> None:
    with writing(path), path.open("ab") as stream:
        stream.write(text)
        stream.flush()
        os.fsync(stream.fileno())
