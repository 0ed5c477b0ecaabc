"""The database of what people say: SQLite in WAL mode. Once a transaction ends, it survives a killed process and a
power cut.
"""

import sqlite3
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from threading import RLock
from typing import Any

from preceptor.core.errors import PreceptorError
from preceptor.store.migrations import migrate
from preceptor.studio.migrations import STEPS

Record = sqlite3.Row
_PATIENCE_S = 5.0
"""Seconds to wait for another program that has locked the file; everybody waits meanwhile."""
_WHY = {
    "SQLITE_FULL": "the disk is full; free some space",
    "SQLITE_BUSY": "another program has locked it; close that program",
    "SQLITE_READONLY": "it cannot be written",
    "SQLITE_IOERR": "the disk cannot be read or written",
}
"""What a person is told, by the beginning of SQLite's name for an error."""


class Database:
    """One connection for all threads of the server, used by one at a time."""

    def __init__(self, path: Path, steps: Sequence[str] = STEPS) -> None:
        """Opens the file, creates it where it is missing, and brings its schema up to date.

        Raises: PreceptorError when it cannot be opened, or a newer version of preceptor wrote it.
        """
        self.path = path
        self._lock = RLock()
        try:
            self._connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False, timeout=_PATIENCE_S)
            self._connection.row_factory = sqlite3.Row
            for pragma in ("journal_mode = WAL", "synchronous = FULL", "foreign_keys = ON"):
                self._connection.execute(f"PRAGMA {pragma}")
            migrate(self._connection, steps)
        except (sqlite3.Error, RuntimeError) as error:
            raise PreceptorError(f"{path}: this database cannot be opened: {error}") from error

    def all(self, query: str, *values: Any) -> list[Record]:
        """The rows of a query."""
        with self._lock, self._failing():
            return self._connection.execute(query, values).fetchall()

    def one(self, query: str, *values: Any) -> Record | None:
        """The first row of a query; None if there is none."""
        with self._lock, self._failing():
            return self._connection.execute(query, values).fetchone()

    def write(self, statement: str, *values: Any) -> int:
        """Runs one statement that writes, and waits for the disk unless a transaction is open. Returns the new row's
        id.

        Raises: PreceptorError when it cannot be written (a full disk, for instance); nothing has changed then.
        """
        with self._lock, self._failing():
            return self._connection.execute(statement, values).lastrowid or 0

    @contextmanager
    def transaction(self) -> Generator[None]:
        """All statements within it, or none of them. Other threads wait. Within another transaction, it is a part of
        that one.

        Raises: PreceptorError when it cannot be written.
        """
        with self._lock, self._failing():
            if self._connection.in_transaction:
                yield
                return
            with all_or_nothing(self._connection):
                yield

    @property
    def changes(self) -> int:
        """How many rows this process has changed since it opened the file: different after every write."""
        with self._lock:
            return self._connection.total_changes

    def close(self) -> None:
        """Closes the file, with the write-ahead log merged into it."""
        with self._lock:
            self._connection.close()

    @contextmanager
    def _failing(self) -> Generator[None]:
        try:
            yield
        except sqlite3.IntegrityError:
            raise
        except (sqlite3.Error, OverflowError, UnicodeEncodeError) as error:
            raise PreceptorError(f"{self.path}: the database cannot be used: {_why(error)}") from error


@contextmanager
def all_or_nothing(connection: sqlite3.Connection) -> Generator[None]:
    """A transaction: all statements within it, or none of them if one fails."""
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
        connection.execute("COMMIT")
    finally:
        if connection.in_transaction:
            connection.execute("ROLLBACK")


def _why(error: Exception) -> str:
    name = str(getattr(error, "sqlite_errorname", ""))
    return next((words for beginning, words in _WHY.items() if name.startswith(beginning)), str(error))


def now() -> str:
    """The time in UTC, to the millisecond, as the database stores it; later times sort after earlier ones."""
    return stamp(datetime.now(UTC))


def stamp(time: datetime) -> str:
    """A time as the database stores it."""
    return time.astimezone(UTC).isoformat(timespec="milliseconds")
