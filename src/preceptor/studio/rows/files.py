"""Files that hold rows: which ones a folder has, and reading them line by line or a row by its place."""

import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from pydantic import ValidationError

from preceptor.core.errors import UsageError
from preceptor.evaluation.checkpoints.snapshot import Snapshot
from preceptor.store.best_of_n_rows import FILE as BEST_OF_N
from preceptor.store.best_of_n_rows import best_of_n_rows
from preceptor.store.rows import LONGEST_LINE, Row, parse_line
from preceptor.studio.folders import Work
from preceptor.studio.rows.entries import AnyRow, ScoredRow, read_row

_LINES = ("preferences.jsonl", "failures.jsonl", "judgements.jsonl")
_FOLDERS = ("", "judged", "training_judge")
_SNAPSHOTS = {
    "run": ("evaluations", ("before.json", "after.json", "step-*.json", "graded-*.json")),
    "sweep": ("checkpoints", ("step-*.json",)),
}
"""Where measurements are, by the kind of the folder."""
_LARGEST_WHOLE = 1 << 28
"""Bytes of a file that is read as a whole."""


@dataclass(frozen=True)
class RowFile:
    """A file that holds rows."""

    work: Work
    place: str
    """Its path within the work's folder."""

    @property
    def path(self) -> Path:
        """Where it is."""
        return self.work.path / self.place

    @property
    def holds_lines(self) -> bool:
        """Whether each of its lines is a row. If not, the file is read as a whole: a measurement, or `best_of_n.jsonl`,
        whose lines have several rows.
        """
        return self.place.endswith(".jsonl") and self.place != BEST_OF_N


def row_files(work: Work) -> list[RowFile]:
    """The files of a folder that hold rows: labels, judgements of audits and evaluations, failures; scores in runs and
    sweeps.
    """
    places = [f"{folder}/{name}".lstrip("/") for folder in _FOLDERS for name in _LINES]
    places += [BEST_OF_N] if work.kind == "run" else []
    return [RowFile(work, place) for place in (*places, *_snapshots(work)) if _is_file(work.path / place)]


def opened(path: Path) -> BinaryIO:
    """The file for reading. A link is not followed, since it may lead out of the folders that the studio shows.

    Raises: OSError if it cannot be opened, or is no regular file.
    """
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise OSError("not a regular file")
    return os.fdopen(descriptor, "rb")


def lines_from(stream: BinaryIO, start: int) -> Iterator[tuple[int, int, bytes | None]]:
    """Start, length and content of each whole line from `start` on; no content for one that is too long. A line that
    is still being written is left for later.
    """
    stream.seek(start)
    while line := stream.readline(LONGEST_LINE):
        length, content = len(line), line
        while line and not line.endswith(b"\n"):
            line = stream.readline(LONGEST_LINE)
            length, content = length + len(line), None
        if not line:
            return
        yield start, length, content
        start += length


def read_line(line: bytes | None, place: str) -> tuple[AnyRow, Row]:
    """The row on a line, typed and as it stands there.

    Args:
        line: None for one that is too long.

    Raises: UsageError beginning with `place` if it is damaged.
    """
    raw = f"more than {LONGEST_LINE >> 20} MiB" if line is None else parse_line(line)
    if isinstance(raw, str):
        raise UsageError(f"{place}: {raw}")
    return read_row(raw, place), raw


def read_whole(file: RowFile) -> tuple[ScoredRow, ...]:
    """All rows of a file that is read as a whole. A line that is still being written is left for later.

    Raises: UsageError if it is damaged; OSError if it cannot be read.
    """
    name = file.path.name
    with opened(file.path) as stream:
        text = stream.read(_LARGEST_WHOLE + 1)
    if len(text) > _LARGEST_WHOLE:
        raise UsageError(f"{name}: more than {_LARGEST_WHOLE >> 20} MiB")
    if name == BEST_OF_N:
        return best_of_n_rows(text.split(b"\n")[:-1], name)
    try:
        return Snapshot.model_validate_json(text).responses
    except ValidationError as error:
        raise UsageError(f"{name}: is damaged") from error


def row_at(file: RowFile, start: int, length: int) -> tuple[AnyRow, Row]:
    """The row at a place that the index knows.

    Raises: UsageError if the file no longer has a row there.
    """
    place = f"{file.work.name}/{file.place}"
    try:
        if not file.holds_lines:
            return read_whole(file)[start], {}
        with opened(file.path) as stream:
            stream.seek(start)
            return read_line(stream.read(length), place)
    except (OSError, IndexError) as error:
        raise UsageError(f"{place}: the row is not there any more; the file was moved, deleted or replaced") from error


def _snapshots(work: Work) -> list[str]:
    """Places of measurements in a run or a sweep. One that the training judge graded later replaces the one without
    grades.
    """
    if work.kind not in _SNAPSHOTS:
        return []
    folder, patterns = _SNAPSHOTS[work.kind]
    names = [path.name for pattern in patterns for path in sorted((work.path / folder).glob(pattern))]
    return [
        f"{folder}/{name}"
        for name in names
        if not (name.startswith("step-") and name.replace("step-", "graded-") in names)
    ]


def _is_file(path: Path) -> bool:
    """Whether there is a regular file, and no part of its path within the folder is a link."""
    try:
        return stat.S_ISREG(path.lstat().st_mode) and not path.parent.is_symlink()
    except OSError:
        return False
