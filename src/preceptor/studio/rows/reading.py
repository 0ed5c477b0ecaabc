"""Rows of the files that preceptor appends to, by their place in the file."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from preceptor.core.errors import PreceptorError, UsageError
from preceptor.core.types import JsonObject
from preceptor.store.preference_row import FailureRow, PreferenceRow
from preceptor.store.rows import LONGEST_LINE
from preceptor.studio.folders import Library, Work

FILES: dict[str, tuple[str, ...]] = {
    "labels": ("preferences.jsonl", "failures.jsonl"),
    "revision": ("preferences.jsonl", "failures.jsonl"),
    "audit": ("judgements.jsonl",),
    "evaluation": (
        "judged/preferences.jsonl",
        "judged/failures.jsonl",
        "training_judge/preferences.jsonl",
        "training_judge/failures.jsonl",
    ),
    "run": ("labels/preferences.jsonl", "labels/failures.jsonl"),
}
"""The files with rows, by kind of work."""


@dataclass(frozen=True)
class Source:
    """A file with rows."""

    folder: str
    """Name of the work in the library."""
    part: str
    path: Path


@dataclass(frozen=True)
class Line:
    """One complete line."""

    number: int
    start: int
    end: int
    content: PreferenceRow | FailureRow | None
    """None for a line that is no row."""


def sources(library: Library) -> Iterator[Source]:
    """Every file with rows in the library; a folder within a run counts once."""
    seen: set[Path] = set()
    for work in library.works():
        for part in FILES.get(work.kind, ()):
            path = work.path / part
            if path not in seen and path.is_file():
                seen.add(path)
                yield Source(work.name, part, path)


def source_of(work: Work, part: str) -> Source | None:
    """The file of that name in the work; None if it has none."""
    path = work.path / part
    return Source(work.name, part, path) if part in FILES.get(work.kind, ()) and path.is_file() else None


def lines(path: Path, start: int, number: int) -> Iterator[Line]:
    """The complete lines from a byte on. A line that is still being written is left for later.

    Args:
        number: of the first line.
    """
    try:
        with path.open("rb") as stream:
            stream.seek(start)
            while (text := stream.readline(LONGEST_LINE)).endswith(b"\n"):
                yield Line(number, start, start + len(text), parse(text))
                start += len(text)
                number += 1
    except OSError as error:
        raise PreceptorError(f"{path}: cannot be read: {error.strerror or error}") from error


def line_at(path: Path, start: int) -> tuple[JsonObject, PreferenceRow | FailureRow | None]:
    """The line that begins at a byte: as it stands in the file, and as a row.

    Raises: PreceptorError if it cannot be read.
    """
    try:
        with path.open("rb") as stream:
            stream.seek(start)
            text = stream.readline(LONGEST_LINE)
        raw: Any = json.loads(text)
    except (OSError, ValueError, RecursionError) as error:
        raise PreceptorError(f"{path}: the row cannot be read: {error}") from error
    return raw if isinstance(raw, dict) else {}, parse(text)


def parse(text: bytes) -> PreferenceRow | FailureRow | None:
    """The row on a line; None if it is none."""
    try:
        row: Any = json.loads(text)
        if not isinstance(row, dict):
            return None
        return FailureRow.read(row, "") if "reason" in row and "chosen" not in row else PreferenceRow.read(row, "")
    except (ValueError, RecursionError, UsageError):
        return None
