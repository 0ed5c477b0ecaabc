"""The ledger: every call to a judge's model, written before its result is used, found again by its content.

SQLite in WAL mode with full synchronisation: a batch that `record` has returned from survives a killed process and a
power cut. Rows are only ever added. The key is a hash of what was asked of which model, so asking the same again is
answered here and never paid for twice.
"""

import json
import sqlite3
from collections.abc import Generator, Iterable, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType

from preceptor.core.errors import PreceptorError
from preceptor.core.hashing import canonical_json, content_hash
from preceptor.store.migrations import migrate

JSON = dict[str, object]


@dataclass(frozen=True)
class Call:
    """One call and what came of it."""

    operation: str
    model: str
    rater: JSON
    request: JSON
    outcome: JSON
    failed: bool
    prompt_tokens: int
    completion_tokens: int

    @property
    def key(self) -> str:
        """Content address of the call."""
        return call_key(self.operation, self.model, self.request)


def call_key(operation: str, model: str, request: JSON) -> str:
    """Content address of a call that asks `request` of `model`."""
    return content_hash({"operation": operation, "model": model, "request": request})


class Ledger:
    """An append-only, content-addressed record of calls in one SQLite file. Also a context manager."""

    def __init__(self, path: Path) -> None:
        try:
            self._connection = sqlite3.connect(path, isolation_level=None)
            self._connection.execute("PRAGMA journal_mode = WAL")
            self._connection.execute("PRAGMA synchronous = FULL")
            migrate(self._connection)
        except (sqlite3.Error, RuntimeError) as error:
            raise PreceptorError(f"{path}: this ledger cannot be opened: {error}") from error
        self._path = path

    def find(self, keys: Sequence[str]) -> dict[str, JSON]:
        """The outcomes on record, by key; a key without one is absent."""
        found: dict[str, JSON] = {}
        for start in range(0, len(keys), 500):  # SQLite bounds the number of parameters
            part = keys[start : start + 500]
            marks = ",".join("?" * len(part))
            with self._reading():
                rows = self._connection.execute(f"SELECT key, outcome FROM calls WHERE key IN ({marks})", part)
                found |= {key: json.loads(outcome) for key, outcome in rows}
        return found

    def record(self, calls: Iterable[Call]) -> None:
        """Writes a batch of calls, all of it or nothing. A call already on record keeps its first outcome.

        Raises: PreceptorError when the batch cannot be written (a full disk, for instance).
        """
        now = datetime.now(UTC).isoformat(timespec="seconds")
        rows = [
            (
                call.key,
                call.operation,
                call.model,
                canonical_json(call.rater),
                canonical_json(call.request),
                canonical_json(call.outcome),
                int(call.failed),
                call.prompt_tokens,
                call.completion_tokens,
                now,
            )
            for call in calls
        ]
        try:
            self._connection.execute("BEGIN IMMEDIATE")
            self._connection.executemany("INSERT OR IGNORE INTO calls VALUES (?,?,?,?,?,?,?,?,?,?)", rows)
            self._connection.execute("COMMIT")
        except sqlite3.Error as error:
            if self._connection.in_transaction:
                self._connection.execute("ROLLBACK")
            raise PreceptorError(f"{self._path}: the ledger cannot be written: {error}") from error

    def totals(self) -> dict[str, int]:
        """Calls, failed calls and tokens on record."""
        with self._reading():
            row = self._connection.execute(
                "SELECT count(*), coalesce(sum(failed), 0), coalesce(sum(prompt_tokens), 0), "
                "coalesce(sum(completion_tokens), 0) FROM calls"
            ).fetchone()
        return dict(zip(("calls", "failures", "prompt_tokens", "completion_tokens"), row, strict=True))

    @contextmanager
    def _reading(self) -> Generator[None]:
        try:
            yield
        except (sqlite3.Error, ValueError) as error:
            raise PreceptorError(f"{self._path}: the ledger cannot be read: {error}") from error

    def close(self) -> None:
        """Closes the file; the write-ahead log is folded into it."""
        self._connection.close()

    def __enter__(self) -> "Ledger":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
