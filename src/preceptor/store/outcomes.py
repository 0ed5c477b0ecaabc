"""What became of each comparison, in two append-only files side by side: `preferences.jsonl` and `failures.jsonl`.

Every row carries `row`, the number of its outcome. Together the files hold 0, 1, 2, ..., each number once, ascending
in each file. A process killed while it appends leaves a torn line or a gap at the end; `resume` cuts back to what is
complete, so that work goes on exactly there.
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
    """The outcomes in a folder that exists. One process at a time."""

    def __init__(self, folder: Path) -> None:
        self.preferences = folder / "preferences.jsonl"
        self.failures = folder / "failures.jsonl"
        self._next: int | None = None
        """Number of the next outcome; None when the files have not been looked at since they may have been torn."""

    def append(self, kept: Sequence[OutcomeRow], failed: Sequence[OutcomeRow]) -> None:
        """Appends the next chunk and waits until it is on disk. Each list ascends by `row`.

        Raises: ValueError when the numbers do not go on from the last one or a row holds NaN, PreceptorError when the
            disk does not take it; what is complete stays, and the rest is cut off before the next append.
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
        """The number of outcomes that are complete, cut back to a multiple. All from there on is cut off, torn lines
        included.

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
        """Cuts off what is not complete, and what is beyond `most` outcomes. Returns how many are left."""
        files = [_File(self.preferences), _File(self.failures)]
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

    def __init__(self, path: Path) -> None:
        self._path = path
        self._rows = _numbers(path)
        self._accepted = 0
        self._read = 0
        self.head: int | None = None
        """Number of the row that comes next; None at the end."""
        self._fetch()

    def advance(self) -> None:
        """Accepts the head and goes on to the next row."""
        self._accepted = self._read
        self._fetch()

    def _fetch(self) -> None:
        self.head, self._read = next(self._rows, (None, self._read))

    def cut(self) -> None:
        """Cuts the file behind the last row accepted."""
        self._rows.close()
        with writing(self._path):
            if self._path.exists() and self._path.stat().st_size > self._accepted:
                with self._path.open("r+b") as stream:
                    stream.truncate(self._accepted)
                    os.fsync(stream.fileno())


def _numbers(path: Path) -> Generator[tuple[int, int]]:
    """(number, offset of the byte behind the row) of each complete row, up to one that no reader would take."""
    if not path.exists():
        return
    offset = 0
    with writing(path), path.open("rb") as stream:
        while line := stream.readline(LONGEST_LINE):
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
