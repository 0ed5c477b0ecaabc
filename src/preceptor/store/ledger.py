"""The ledger: every call to a judge's model, recorded before its result is used, and looked up by its content.

SQLite in WAL mode with full synchronisation: once `record` returns, its batch survives a killed process and a power
cut. Recorded calls never change. The key is a hash of the model and the request, so the same request is answered from
the ledger and never paid for twice.

A call that costs something is recorded before it is sent (`begin`). If the process ends before the answer is recorded,
the next process finds the call, counts what it may have cost, and sends it again.

Several threads may use a ledger. What they write at the same time is written in one transaction, so that they share
the wait for the disk; what they may spend is reserved in one place.
"""

import itertools
import json
import sqlite3
import threading
import time
from collections.abc import Generator, Iterable, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from itertools import product
from operator import add
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from preceptor.core.batching import Batcher
from preceptor.core.errors import BudgetError, PreceptorError
from preceptor.core.hashing import canonical_json
from preceptor.core.types import Frozen
from preceptor.core.validation import check_dollars
from preceptor.store.call_rows import ATTEMPT, JSON, Call, Sent, attempt_row, call_row, json_text, now_text
from preceptor.store.calls import notes
from preceptor.store.claims import Claims
from preceptor.store.files import writing
from preceptor.store.migrations import migrate

IN_MEMORY = Path(":memory:")
"""The path of a ledger that is kept in memory."""


class LedgerTotals(Frozen):
    """What a ledger has on record: calls, and the tokens and dollars of all of them, failed attempts included."""

    calls: int
    failures: int
    """Calls that gave no verdict."""
    prompt_tokens: int
    completion_tokens: int
    cost_usd: float
    estimated: int
    """Calls and attempts whose tokens are estimated."""
    unpriced: int
    """Calls whose price is not known."""
    failed_attempts: int
    interrupted: int
    """Failed attempts that were in flight when a process ended."""
    cached_tokens: int = 0
    """Of the prompt tokens, those that providers read from their caches."""


NO_CALLS = LedgerTotals(
    calls=0,
    failures=0,
    prompt_tokens=0,
    completion_tokens=0,
    cost_usd=0.0,
    estimated=0,
    unpriced=0,
    failed_attempts=0,
    interrupted=0,
)
"""The totals of an empty ledger."""


@dataclass
class _Change:
    """Rows of one caller that are written together with those of others."""

    begun: list[tuple[Any, ...]] = field(default_factory=list)
    calls: list[tuple[Any, ...]] = field(default_factory=list)
    attempts: list[tuple[Any, ...]] = field(default_factory=list)
    ended: list[tuple[int]] = field(default_factory=list)
    dollars: float = 0.0
    durable: bool = False
    """Whether the caller waits for the disk."""


class Ledger:
    """An append-only, content-addressed record of calls in one SQLite file. Also a context manager.

    `budget` is the most that all recorded calls may cost, in dollars; None for no limit. `earlier` is another ledger
    that nobody writes to meanwhile: its answers are found too.
    """

    def __init__(self, path: Path, budget: float | None = None, earlier: Path | None = None) -> None:
        check_dollars("budget", budget)
        try:
            self._connection = sqlite3.connect(
                path, isolation_level=None, check_same_thread=False, uri=earlier is not None
            )
            self._connection.execute("PRAGMA journal_mode = WAL")
            migrate(self._connection)
            self._tables = ["calls"]
            if earlier is not None:
                self._connection.execute("ATTACH ? AS earlier", [f"{earlier.absolute().as_uri()}?mode=ro&immutable=1"])
                self._tables.append("earlier.calls")
        except (sqlite3.Error, RuntimeError) as error:
            raise PreceptorError(f"{path}: this ledger cannot be opened: {error}") from error
        self._path = path
        self.budget = budget
        self.claims: Claims[Any] = Claims()
        """The calls that this process is making."""
        self._lock = threading.Lock()
        """Held by the thread that uses the connection."""
        self._writing = Batcher(self._write, self._lock)
        self._in_flight: dict[str, int] = {}
        """Ids of this process's rows of `in_flight`, by key."""
        self._reserved: dict[object, float] = {}
        self._reserving = threading.Lock()
        self._closed = False
        self._ids = itertools.count(time.time_ns())
        self._spent = 0.0
        self._interrupt("true")  # calls that a process which has ended left
        self._spent = self.totals().cost_usd

    @property
    def spent(self) -> float:
        """Dollars of all calls and failed attempts on record."""
        return self._spent

    def beside(self, name: str) -> Path | None:
        """A path beside the ledger; None if it is in memory."""
        return None if self._path == IN_MEMORY else self._path.with_name(name)

    def find(self, keys: Sequence[str]) -> dict[str, JSON]:
        """The recorded outcomes by key; keys without an outcome are left out."""
        outcomes: dict[str, JSON] = {}
        for table, start in product(self._tables, range(0, len(keys), 500)):  # SQLite limits the parameters
            part = keys[start : start + 500]
            marks = ",".join("?" * len(part))
            with self._reading():
                rows = self._connection.execute(f"SELECT key, outcome FROM {table} WHERE key IN ({marks})", part)
                outcomes |= {key: json.loads(outcome) for key, outcome in rows}
        return outcomes

    def begin(self, calls: Sequence[Sent]) -> None:
        """Records calls that are about to be sent. The record survives a killed process, but perhaps not a power cut:
        every call would wait milliseconds for the disk instead of microseconds.

        Raises: PreceptorError when it cannot be written.
        """
        now, rows = now_text(), []
        for call in calls:
            self._in_flight[call.key] = number = next(self._ids)
            rater, tokens = json_text(call.rater), (call.prompt_tokens, call.completion_tokens)
            rows.append((number, call.key, call.operation, call.model, rater, *tokens, call.cost_usd, now))
        self._writing.ask([_Change(begun=rows)])

    def record(self, calls: Iterable[Call]) -> None:
        """Writes a batch of calls, all or none. A call that is already recorded keeps its first outcome.

        Raises: PreceptorError when the batch cannot be written (a full disk, for instance).
        """
        listed, now = list(calls), now_text()
        ended = [(self._in_flight[call.key],) for call in listed if call.key in self._in_flight]
        self._writing.ask(
            [
                _Change(
                    calls=[call_row(call, now) for call in listed if not call.transient],
                    attempts=[attempt_row(call, now) for call in listed if call.transient],
                    ended=ended,
                    dollars=sum(call.cost_usd or 0.0 for call in listed),
                    durable=True,
                )
            ]
        )
        for call in listed:
            self._in_flight.pop(call.key, None)

    def _write(self, changes: Sequence[_Change]) -> list[None]:
        """Writes the changes of several threads in one transaction. The caller holds the lock."""
        execute = self._connection.executemany
        with self._transaction("FULL" if any(change.durable for change in changes) else "NORMAL"):
            for change in changes:
                execute("INSERT INTO in_flight VALUES (?,?,?,?,?,?,?,?,?)", change.begun)
                execute(f"INSERT OR IGNORE INTO calls VALUES ({','.join('?' * 13)})", change.calls)
                execute(
                    f"INSERT INTO failed_attempts ({ATTEMPT}, cached_tokens) VALUES ({','.join('?' * 12)})",
                    change.attempts,
                )
                execute("DELETE FROM in_flight WHERE id = ?", change.ended)
        self._spent += sum(change.dollars for change in changes)
        return [None] * len(changes)

    def interrupt(self, keys: Iterable[str]) -> None:
        """Records calls in flight as failed attempts, with what they may have cost. Does nothing if the ledger is
        closed: the next one to open it does this for all.
        """
        numbers = [self._in_flight.pop(key) for key in keys if key in self._in_flight]
        with self._lock:
            if not self._closed:
                self._interrupt(f"id IN ({','.join(map(str, numbers))})")

    def _interrupt(self, condition: str) -> None:
        try:
            count, cost = self._connection.execute(
                f"SELECT count(*), total(cost_usd) FROM in_flight WHERE {condition}"
            ).fetchone()
        except sqlite3.Error as error:
            raise self._unreadable(error) from error
        if not count:
            return
        outcome = canonical_json({"failure": {"reason": "backend_error", "detail": "in flight when the process ended"}})
        with self._transaction("FULL"):
            self._connection.execute(
                f"INSERT INTO failed_attempts ({ATTEMPT}, interrupted) SELECT key, operation, model, '{{}}', ?, "
                "created_at, rater, prompt_tokens, completion_tokens, cost_usd, 1, 1 FROM in_flight "
                f"WHERE {condition} ORDER BY id",
                [outcome],
            )
            self._connection.execute(f"DELETE FROM in_flight WHERE {condition}")
        self._spent += cost

    def reserve(self, place: object, dollars: float) -> bool:
        """Reserves dollars for a call, on top of what is reserved for it, if the budget allows that.

        Args:
            place: by which they are released.
        """
        with self._reserving:
            reserved = sum(self._reserved.values())
            allowed = self.within_budget(self._spent + reserved + dollars)
            if allowed and dollars:
                self._reserved[place] = self._reserved.get(place, 0.0) + dollars
            return allowed

    def within_budget(self, dollars: float) -> bool:
        """Whether all calls together may cost this much. May be asked from any thread."""
        return self.budget is None or dollars <= self.budget

    def release(self, place: object) -> None:
        """Releases what is reserved for a call."""
        with self._reserving:
            self._reserved.pop(place, None)

    def refuse(self, dollars: float) -> BudgetError:
        """The error for a call that the budget does not allow."""
        return BudgetError(
            f"the budget of ${self.budget or 0.0:g} allows no further call: the calls in {self._path} cost "
            f"${self._spent:.4f}, and the next may cost ${dollars:.4f}. Nothing paid for is lost: the same work "
            "with a larger budget continues from here"
        )

    def totals(self) -> LedgerTotals:
        """The totals of all calls and failed attempts on record."""
        sums = "cast(total(prompt_tokens) AS INTEGER), cast(total(completion_tokens) AS INTEGER), total(cost_usd)"
        with self._reading():
            calls, failures, unpriced, *taken = self._connection.execute(
                f"SELECT count(*), cast(total(failed) AS INTEGER), count(*) - count(cost_usd), {sums}, "
                "cast(total(estimated) AS INTEGER), cast(total(cached_tokens) AS INTEGER) FROM calls"
            ).fetchone()
            attempts, interrupted, *lost = self._connection.execute(
                f"SELECT count(*), cast(total(interrupted) AS INTEGER), {sums}, "
                "cast(total(estimated) AS INTEGER), cast(total(cached_tokens) AS INTEGER) FROM failed_attempts"
            ).fetchone()
        prompt_tokens, completion_tokens, cost_usd, estimated, cached_tokens = map(add, taken, lost)
        return LedgerTotals(
            calls=calls,
            failures=failures,
            prompt_tokens=prompt_tokens,
            completion_tokens=completion_tokens,
            cost_usd=cost_usd,
            estimated=estimated,
            unpriced=unpriced,
            failed_attempts=attempts,
            interrupted=interrupted,
            cached_tokens=cached_tokens,
        )

    def notes(self) -> list[str]:
        """What the user should know about the recorded costs, in sentences."""
        totals = self.totals()
        return notes(totals.estimated, totals.interrupted)

    @contextmanager
    def _transaction(self, synchronous: str) -> Generator[None]:
        """A transaction, all or nothing; `synchronous` FULL waits for the disk.

        Raises: PreceptorError when it cannot be written.
        """
        try:
            self._connection.execute(f"PRAGMA synchronous = {synchronous}")
            self._connection.execute("BEGIN IMMEDIATE")
            yield
            self._connection.execute("COMMIT")
        except (sqlite3.Error, OverflowError) as error:
            raise PreceptorError(f"{self._path}: the ledger cannot be written: {error}") from error
        finally:
            if not self._closed and self._connection.in_transaction:
                self._connection.execute("ROLLBACK")

    @contextmanager
    def _reading(self) -> Generator[None]:
        with self._lock:
            try:
                yield
            except (sqlite3.Error, ValueError) as error:
                raise self._unreadable(error) from error

    def _unreadable(self, error: Exception) -> PreceptorError:
        return PreceptorError(f"{self._path}: the ledger cannot be read: {error}")

    def close(self) -> None:
        """Closes the file, with the write-ahead log merged into it."""
        with self._lock:
            self._closed = True
            self._connection.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def copy_ledger(source: Path, target: Path) -> None:
    """Copies a ledger that nobody writes to into the folder of other work, which then finds its answers; does nothing
    if that folder has a ledger already.

    Raises: PreceptorError when one of them cannot be read or written.
    """
    if target.exists():
        return
    partial = target.parent.with_name(f"{target.parent.name}.partial")
    with writing(target):
        target.parent.mkdir(parents=True, exist_ok=True)
        partial.unlink(missing_ok=True)
        try:
            with closing(sqlite3.connect(source)) as read, closing(sqlite3.connect(partial)) as copy:
                read.backup(copy)
        except sqlite3.Error as error:
            raise PreceptorError(f"{source}: this ledger cannot be copied: {error}") from error
        partial.replace(target)
