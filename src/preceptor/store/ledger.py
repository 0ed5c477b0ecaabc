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
from typing import Any

from preceptor.core.errors import PreceptorError
from preceptor.core.hashing import canonical_json, content_hash
from preceptor.core.validation import check_dollars
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
    transient: bool = False
    """Whether it failed in a way that asking again can mend; such a call is recorded, and asked again."""
    cost_usd: float | None = 0.0
    """Dollars; None where the price is not known."""

    @property
    def key(self) -> str:
        """Content address of the call."""
        return call_key(self.operation, self.model, self.request)


def call_key(operation: str, model: str, request: JSON) -> str:
    """Content address of a call that asks `request` of `model`."""
    return content_hash({"operation": operation, "model": model, "request": request})


class Ledger:
    """An append-only, content-addressed record of calls in one SQLite file. Also a context manager.

    `budget` is the most that all calls on record may cost, in dollars; None for no bound.
    """

    def __init__(self, path: Path, budget: float | None = None) -> None:
        check_dollars("budget", budget)
        try:
            self._connection = sqlite3.connect(path, isolation_level=None)
            self._connection.execute("PRAGMA journal_mode = WAL")
            self._connection.execute("PRAGMA synchronous = FULL")
            migrate(self._connection)
        except (sqlite3.Error, RuntimeError) as error:
            raise PreceptorError(f"{path}: this ledger cannot be opened: {error}") from error
        self._path = path
        self.budget = budget
        self._spent = float(self.totals()["cost_usd"])

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
        listed = list(calls)
        attempts = [
            (c.key, c.operation, c.model, canonical_json(c.request), canonical_json(c.outcome), now)
            for c in listed
            if c.transient
        ]
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
                call.cost_usd,
            )
            for call in listed
            if not call.transient
        ]
        try:
            self._connection.execute("BEGIN IMMEDIATE")
            self._connection.executemany("INSERT OR IGNORE INTO calls VALUES (?,?,?,?,?,?,?,?,?,?,?)", rows)
            self._connection.executemany(
                "INSERT INTO failed_attempts (key, operation, model, request, outcome, created_at) "
                "VALUES (?,?,?,?,?,?)",
                attempts,
            )
            self._connection.execute("COMMIT")
        except sqlite3.Error as error:
            raise PreceptorError(f"{self._path}: the ledger cannot be written: {error}") from error
        finally:
            if self._connection.in_transaction:
                self._connection.execute("ROLLBACK")
        self._spent += sum(call.cost_usd or 0.0 for call in listed)

    def check_budget(self) -> None:
        """Raises: PreceptorError when the calls on record have cost the budget."""
        if self.budget is not None and self._spent >= self.budget:
            raise PreceptorError(
                f"the budget of ${self.budget:g} is spent (${self._spent:.4f} for the calls in {self._path}). Nothing "
                "paid for is lost: the same command with a larger budget goes on from here"
            )

    def totals(self) -> dict[str, Any]:
        """Calls, failed calls, tokens and dollars on record, calls whose price is unknown, and failed attempts."""
        with self._reading():
            row = self._connection.execute(
                "SELECT count(*), coalesce(sum(failed), 0), cast(total(prompt_tokens) AS INTEGER), "
                "cast(total(completion_tokens) AS INTEGER), coalesce(sum(cost_usd), 0.0), "
                "count(*) - count(cost_usd), (SELECT count(*) FROM failed_attempts) FROM calls"
            ).fetchone()
        names = ("calls", "failures", "prompt_tokens", "completion_tokens", "cost_usd", "unpriced", "failed_attempts")
        return dict(zip(names, row, strict=True))

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
