"""The index of all rows: a background thread reads what is new in the files, and pages never wait for it."""

import sqlite3
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha256
from itertools import islice
from pathlib import Path
from typing import Any

from preceptor.core.errors import PreceptorError
from preceptor.core.types import HumanLabel, Message
from preceptor.evaluation.judges.agreement import chosen
from preceptor.judging.position import same_position_wins
from preceptor.store.migrations import migrate
from preceptor.store.preference_row import FailureRow, PreferenceRow
from preceptor.studio.folders import Library
from preceptor.studio.rows.reading import Line, Source, lines, sources
from preceptor.studio.rows.schema import STEPS

_AT_ONCE = 500
"""Rows that are written together."""
_HEAD = 4096
"""Bytes at a file's beginning by which it is recognised."""
_LONGEST_WORDS = 50_000
"""Characters of a row's texts that can be searched."""
_COLUMNS = (
    "source, line, start, name, cohort, judge, p_a, sureness, disagreement, flipped, length, longer, human, agrees, "
    "trajectory, score, failure"
)


@dataclass(frozen=True)
class IndexState:
    """How far the index is."""

    busy: bool
    bytes_read: int
    bytes_in_all: int
    unusable: int
    """Lines that are no rows."""
    problem: str | None
    """Why the last look failed; None if it did not."""

    @property
    def share(self) -> float:
        """Share of the files that is indexed."""
        return self.bytes_read / self.bytes_in_all if self.bytes_in_all else 1.0


class Index:
    """The index in one SQLite file."""

    def __init__(self, path: Path, library: Library) -> None:
        """Opens the file, or makes it anew if it is damaged or of a newer version."""
        self.path = path
        self._library = library
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None
        self._problem: str | None = None
        self._sizes: dict[Path, int] = {}
        try:
            self._open().close()
        except (sqlite3.Error, RuntimeError):
            for file in (path, path.with_name(path.name + "-wal"), path.with_name(path.name + "-shm")):
                file.unlink(missing_ok=True)
            self._open().close()

    def connect(self) -> sqlite3.Connection:
        """A connection for reading, to be closed by the caller."""
        connection = sqlite3.connect(f"file:{self.path}?mode=ro", uri=True, timeout=10)
        connection.row_factory = sqlite3.Row
        return connection

    def look(self) -> None:
        """Begins to read what is new, unless a look is under way."""
        with self._lock:
            if self._thread is None or not self._thread.is_alive():
                self._thread = threading.Thread(target=self._look, daemon=True)
                self._thread.start()

    def finish(self) -> None:
        """Looks, and waits until everything is indexed."""
        self.look()
        assert self._thread is not None
        self._thread.join()

    def state(self) -> IndexState:
        """How far the index is."""
        with self.connect() as connection:
            read, unusable = connection.execute("SELECT total(read), total(unusable) FROM sources").fetchone()
        connection.close()
        busy = self._thread is not None and self._thread.is_alive()
        return IndexState(busy, int(read), max(sum(self._sizes.values()), int(read)), int(unusable), self._problem)

    def _open(self) -> sqlite3.Connection:
        connection = sqlite3.connect(self.path, isolation_level=None, timeout=10)
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = OFF")  # a cache
        migrate(connection, STEPS)
        return connection

    def _look(self) -> None:
        try:
            connection = self._open()
            try:
                known = list(sources(self._library))
                self._sizes = {source.path: source.path.stat().st_size for source in known}
                self._forget(connection, known)
                for source in known:
                    self._read(connection, source)
                self._problem = None
            finally:
                connection.close()
        except (PreceptorError, OSError, sqlite3.Error) as error:
            self._problem = str(error)

    def _forget(self, connection: sqlite3.Connection, known: Sequence[Source]) -> None:
        """Drops the rows of files that are gone, or whose beginning is another one."""
        heads = {str(source.path): source for source in known}
        for number, path, read, head in connection.execute("SELECT id, path, read, head FROM sources").fetchall():
            source = heads.get(path)
            if source is None or _head(source.path, read) != head or source.path.stat().st_size < read:
                connection.execute("BEGIN")
                connection.execute("DELETE FROM rows WHERE source = ?", (number,))
                connection.execute("DELETE FROM sources WHERE id = ?", (number,))
                connection.execute("COMMIT")

    def _read(self, connection: sqlite3.Connection, source: Source) -> None:
        connection.execute(
            "INSERT INTO sources (folder, part, path) VALUES (?, ?, ?) "
            "ON CONFLICT (path) DO UPDATE SET folder = excluded.folder, part = excluded.part",
            (source.folder, source.part, str(source.path)),
        )
        number, read, count = connection.execute(
            "SELECT id, read, lines FROM sources WHERE path = ?", (str(source.path),)
        ).fetchone()
        new = lines(source.path, read, count)
        while batch := list(islice(new, _AT_ONCE)):
            connection.execute("BEGIN")
            for line in batch:
                if line.content is not None:
                    _insert(connection, number, line, line.content)
            connection.execute(
                "UPDATE sources SET read = ?, lines = ?, head = ?, unusable = unusable + ? WHERE id = ?",
                (
                    batch[-1].end,
                    batch[-1].number + 1,
                    _head(source.path, batch[-1].end),
                    sum(line.content is None for line in batch),
                    number,
                ),
            )
            connection.execute("COMMIT")


def _insert(connection: sqlite3.Connection, source: int, line: Line, row: PreferenceRow | FailureRow) -> None:
    columns, words = _failure(row) if isinstance(row, FailureRow) else _preference(row)
    given = (source, line.number, line.start, *columns)
    marks = ", ".join("?" * len(given))
    made = connection.execute(f"INSERT INTO rows ({_COLUMNS}) VALUES ({marks})", given)
    connection.execute("INSERT INTO words (rowid, text) VALUES (?, ?)", (made.lastrowid, words[:_LONGEST_WORDS]))


def _failure(row: FailureRow) -> tuple[tuple[Any, ...], str]:
    return (row.id or "", *[None] * 12, row.reason), f"{row.reason} {row.detail}"


def _preference(row: PreferenceRow) -> tuple[tuple[Any, ...], str]:
    a, b = (text_of(response) for response in row.responses)
    human = row.human_p_a
    sides = None if human is None else (chosen(row.p_a), HumanLabel(p_a=human).majority)
    flipped = same_position_wins([(verdict.order, verdict.p_a) for verdict in row.verdicts])
    columns = (
        row.id,
        row.cohort,
        row.judge.split("#")[0],
        row.p_a,
        abs(row.p_a - 0.5),
        row.disagreement,
        None if flipped is None else int(flipped),
        len(a) + len(b),
        len(a) - len(b),
        human,
        None if sides is None or "tie" in sides else int(sides[0] == sides[1]),
        int(any(len(response) > 1 for response in row.responses)),
        row.chosen_score,
        None,
    )
    return columns, "\n".join((text_of(row.prompt), a, b))


def text_of(messages: Sequence[Message]) -> str:
    """The texts of messages, without tools' names."""
    return "\n".join(message.content for message in messages)


def _head(path: Path, read: int) -> str:
    """Hash of the beginning of a file, as far as it is indexed."""
    with path.open("rb") as stream:
        return sha256(stream.read(min(read, _HEAD))).hexdigest()
