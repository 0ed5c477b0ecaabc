"""Writes rows into the index, file by file."""

import hashlib
import os
import sqlite3
from collections.abc import Callable, Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

from preceptor.core.errors import UsageError
from preceptor.store.migrations import migrate
from preceptor.studio.database import all_or_nothing
from preceptor.studio.rows.entries import Entry, entry_of
from preceptor.studio.rows.files import RowFile, lines_from, opened, read_line, read_whole
from preceptor.studio.rows.schema import STEPS

Record = sqlite3.Row
_BATCH = 250
"""Rows that are written in one transaction."""
_BEGINNING, _ENDING = 1 << 16, 1 << 12
"""Bytes by which a file is recognised as the one that was read before."""
_COLUMNS = (
    "id, file, place, start, bytes, row_id, kind, cohort, judge, reason, p, disagreement, length, difference, flip, "
    "people, score, steps, compared"
)
_Numbered = tuple[int, int, int, Entry]
"""Line, offset and length of a row, and what the index holds of it."""


class IndexWriter:
    """The only connection that writes into the index."""

    def __init__(self, path: Path) -> None:
        """Opens the index. One that is damaged, or that a newer version wrote, is deleted and begun anew.

        Raises: sqlite3.Error if it cannot be written.
        """
        try:
            self._connection = _opened(path)
        except (sqlite3.DatabaseError, RuntimeError):
            for suffix in ("", "-wal", "-shm"):
                path.with_name(path.name + suffix).unlink(missing_ok=True)
            self._connection = _opened(path)
        self._names: dict[str, int] = {}
        [(last,)] = self._connection.execute("SELECT coalesce(max(seq), 0) FROM sqlite_sequence WHERE name = 'rows'")
        self._next_id = int(last) + 1

    def close(self) -> None:
        """Closes the file, with the write-ahead log merged into it."""
        self._connection.close()

    def files(self) -> dict[tuple[str, str], Record]:
        """The files that are in the index, by folder and place."""
        return {(f["folder"], f["place"]): f for f in self._connection.execute("SELECT * FROM files")}

    def forget(self, file: int) -> None:
        """Removes a file and its rows. The words of the rows stay until `tidy`; nothing refers to them."""
        with self._writing():
            self._connection.execute("DELETE FROM rows WHERE file = ?", [file])
            self._connection.execute("DELETE FROM files WHERE id = ?", [file])

    def tidy(self) -> bool:
        """Empties the index if most words in it are of rows that are gone. Returns whether it did."""
        [(words,)] = self._connection.execute("SELECT count(*) FROM words_docsize")
        [(rows,)] = self._connection.execute("SELECT count(*) FROM rows")
        if words <= 2 * rows + 1000:
            return False
        with self._writing():
            self._connection.execute("DELETE FROM rows")
            self._connection.execute("DELETE FROM files")
            for table in ("words", "beginnings"):
                self._connection.execute(f"INSERT INTO {table} ({table}) VALUES ('delete-all')")
        return True

    def read_on(self, file: RowFile, known: Record | None, advance: Callable[[int], bool]) -> None:
        """Indexes what a file has more than the index knows.

        Args:
            advance: called after each line with the number of lines; False ends the work, and the next call goes on.

        Raises: OSError if the file cannot be read.
        """
        with opened(file.path) as stream:
            if known is not None and not (file.holds_lines and continues(stream, known)):
                self.forget(known["id"])
                known = None
            record = known or self._begin(file)
            state = os.fstat(stream.fileno())  # before it is read, so that what is written meanwhile is read next time
            part = _Part(state, record["id"], record["read"], record["lines"], record["skipped"])
            if file.holds_lines:
                self._lines(file, stream, part, advance)
            else:
                self._whole(file, stream, part)
                advance(part.lines)

    def _begin(self, file: RowFile) -> Record:
        with self._writing():
            self._connection.execute(
                "INSERT INTO files (folder, place, inode, size, changed, read, lines, skipped, beginning, ending) "
                "VALUES (?, ?, 0, 0, 0, 0, 0, 0, '', '')",
                [file.work.name, file.place],
            )
        query = "SELECT * FROM files WHERE folder = ? AND place = ?"
        return self._connection.execute(query, [file.work.name, file.place]).fetchone()

    def _lines(self, file: RowFile, stream: BinaryIO, part: "_Part", advance: Callable[[int], bool]) -> None:
        entries: list[_Numbered] = []
        going = True
        for start, length, line in lines_from(stream, part.read):
            try:
                entries.append((part.lines, start, length, entry_of(*read_line(line, file.place))))
            except UsageError:
                part.skipped += 1
            part.lines += 1
            part.read = start + length
            going = advance(1)
            if len(entries) >= _BATCH or not going:
                self._write(stream, part, entries)
                entries = []
            if not going:
                return
        self._write(stream, part, entries, finished=True)

    def _whole(self, file: RowFile, stream: BinaryIO, part: "_Part") -> None:
        """All rows of a file that is read as a whole."""
        try:
            rows = read_whole(file)
        except UsageError:
            rows, part.skipped = (), 1
        part.lines = len(rows)
        part.read = part.state.st_size
        self._write(stream, part, [(i, i, 0, entry_of(row, {})) for i, row in enumerate(rows)], finished=True)

    def _write(self, stream: BinaryIO, part: "_Part", entries: list[_Numbered], *, finished: bool = False) -> None:
        """Writes entries, and how far the file is read. Unless `finished`, the file is looked at again next time."""
        state = part.state
        size, changed = (state.st_size, state.st_mtime_ns) if finished else (0, 0)
        ends = _fingerprints(stream, part.read)
        with self._writing():
            ids = range(self._next_id, self._next_id + len(entries))
            rows = [self._row(id_, part.file, *entry) for id_, entry in zip(ids, entries, strict=True)]
            marks = ", ".join("?" * len(_COLUMNS.split(",")))
            self._connection.executemany(f"INSERT INTO rows ({_COLUMNS}) VALUES ({marks})", rows)
            self._connection.executemany(
                "INSERT INTO words (rowid, prompt, responses, reasons) VALUES (?, ?, ?, ?)",
                [(id_, e.prompt, e.responses, e.reasons) for id_, (*_, e) in zip(ids, entries, strict=True)],
            )
            self._connection.executemany(
                "INSERT INTO beginnings (rowid, words) VALUES (?, ?)",
                [(id_, _each_once(entry)) for id_, (*_, entry) in zip(ids, entries, strict=True)],
            )
            self._connection.execute(
                "UPDATE files SET inode = ?, size = ?, changed = ?, read = ?, lines = ?, skipped = ?, beginning = ?, "
                "ending = ? WHERE id = ?",
                [state.st_ino, size, changed, part.read, part.lines, part.skipped, *ends, part.file],
            )
        self._next_id += len(entries)

    def _row(self, id_: int, file: int, line: int, start: int, length: int, entry: Entry) -> tuple[Any, ...]:
        names = [self._name(name) for name in (entry.cohort, entry.judge, entry.reason)]
        flip = None if entry.flip is None else int(entry.flip)
        shown = (entry.p, entry.disagreement, entry.length, entry.difference, flip, entry.people, entry.score)
        last = (entry.steps, entry.compared)
        return (id_, file, file << 40 | line, start, length, entry.row_id, entry.kind, *names, *shown, *last)

    def _name(self, name: str | None) -> int | None:
        if name is None:
            return None
        if name not in self._names:
            self._connection.execute("INSERT OR IGNORE INTO names (name) VALUES (?)", [name])
            [(self._names[name],)] = self._connection.execute("SELECT id FROM names WHERE name = ?", [name])
        return self._names[name]

    @contextmanager
    def _writing(self) -> Generator[None]:
        try:
            with all_or_nothing(self._connection):
                yield
        except BaseException:
            self._names.clear()
            raise


class _Part:
    """How far a file is read."""

    def __init__(self, state: os.stat_result, file: int, read: int, lines: int, skipped: int) -> None:
        """state: the file's when it was opened."""
        self.state, self.file, self.read, self.lines, self.skipped = state, file, read, lines, skipped


def unchanged(status: os.stat_result, known: Record) -> bool:
    """Whether a file is as it was when all of it was indexed."""
    return (status.st_ino, status.st_size, status.st_mtime_ns) == (known["inode"], known["size"], known["changed"])


def continues(stream: BinaryIO, known: Record) -> bool:
    """Whether what was indexed of a file still stands at its beginning."""
    status = os.fstat(stream.fileno())
    same = status.st_ino == known["inode"] and status.st_size >= known["read"]
    return same and _fingerprints(stream, known["read"]) == (known["beginning"], known["ending"])


def _fingerprints(stream: BinaryIO, read: int) -> tuple[str, str]:
    """Hashes of the first and the last of the bytes that were read. The stream's place stays as it is."""
    descriptor = stream.fileno()
    first = os.pread(descriptor, min(read, _BEGINNING), 0)
    last = os.pread(descriptor, min(read, _ENDING), max(0, read - _ENDING))
    return hashlib.sha256(first).hexdigest(), hashlib.sha256(last).hexdigest()


def _each_once(entry: Entry) -> str:
    """The words of a row, each once."""
    return " ".join({word for text in (entry.prompt, entry.responses, entry.reasons) for word in text.split()})


def _opened(path: Path) -> sqlite3.Connection:
    connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False, timeout=10)
    connection.row_factory = sqlite3.Row
    try:
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = NORMAL")
        migrate(connection, STEPS)
        connection.execute("SELECT count(*) FROM files").fetchone()
    except (sqlite3.Error, RuntimeError):
        connection.close()
        raise
    return connection
