"""The calls recorded in a ledger, for reading: totals by role, their cost, and the calls about some texts."""

import json
import sqlite3
from collections.abc import Iterable, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

from preceptor.core.errors import PreceptorError
from preceptor.core.types import Frozen, JsonObject

JUDGE = "judge"
"""The role of raters that are recorded without one."""


class Calls(Frozen):
    """Calls of one role."""

    calls: int = 0
    failures: int = 0
    tokens: int = 0
    """Tokens read and written."""
    cost_usd: float = 0.0
    """Cost of the calls whose price is known."""
    unpriced: int = 0
    estimated: int = 0
    """Calls and failed attempts whose tokens, and therefore cost, are estimates."""
    interrupted: int = 0
    """Calls that were in flight when a process ended; they may have been paid for, and were sent again."""
    cached_tokens: int = 0
    """Of the tokens, those of prompts that providers read from their caches."""

    def __add__(self, other: "Calls") -> "Calls":
        return Calls(
            calls=self.calls + other.calls,
            failures=self.failures + other.failures,
            tokens=self.tokens + other.tokens,
            cost_usd=self.cost_usd + other.cost_usd,
            unpriced=self.unpriced + other.unpriced,
            estimated=self.estimated + other.estimated,
            interrupted=self.interrupted + other.interrupted,
            cached_tokens=self.cached_tokens + other.cached_tokens,
        )


def notes(estimated: int, interrupted: int) -> list[str]:
    """What a person should know about the costs, in sentences.

    Args:
        estimated: calls and failed attempts whose tokens were estimated, interrupted ones included.
        interrupted: calls that were in flight when a process ended.
    """
    sentences: list[str] = []
    if interrupted:
        calls = "1 call was" if interrupted == 1 else f"{interrupted} calls were"
        it, they = ("it", "was") if interrupted == 1 else ("they", "were")
        sentences.append(
            f"{calls} in flight when an earlier process ended; {it} may have been paid for, and {they} sent again"
        )
    if estimated:
        calls = "1 call is an estimate" if estimated == 1 else f"{estimated} calls are estimates"
        sentences.append(
            f"the tokens and the cost of {calls}: the server did not count them, or gave no usable answer (a token "
            "for every 3 bytes of prompt and answer; without an answer, as many as it could have had)"
        )
    return sentences


def notes_of(ledger: Path) -> list[str]:
    """The notes on all calls in a ledger.

    Raises: PreceptorError when it cannot be read.
    """
    counted = calls_by_role([ledger]).values()
    return notes(sum(calls.estimated for calls in counted), sum(calls.interrupted for calls in counted))


def in_words(ledger: Path, budget: float | None = None) -> str:
    """All calls in a ledger, in one line: their number, failures by reason, tokens, dollars.

    Raises: PreceptorError when it cannot be read.
    """
    if not ledger.exists():
        return "no calls"
    calls = sum(calls_by_role([ledger]).values(), Calls())
    # Opened for writing, so that closing it removes the write-ahead log. A reader would leave one behind.
    reasons = ", ".join(f"{count} {reason}" for reason, count in _read(ledger, _REASONS, mode="rw"))
    failed = f"{calls.failures} failed ({reasons})" if calls.failures else "none failed"
    unpriced = f" without {calls.unpriced} that have no price" if calls.unpriced else ""
    of = "" if budget is None else f" of a budget of ${budget:,.2f}"
    cached = f" ({calls.cached_tokens:,} from a cache)" if calls.cached_tokens else ""
    return f"{calls.calls} calls, {failed}, {calls.tokens:,} tokens{cached}, ${calls.cost_usd:,.4f}{unpriced}{of}"


_REASONS = (
    "SELECT json_extract(outcome, '$.reason') AS reason, count(*) FROM calls WHERE failed GROUP BY 1 ORDER BY 2 DESC, 1"
)
_ROLE = "coalesce(json_extract(rater, '$.settings.role'), ?)"
_TAKEN = "cast(total(prompt_tokens) + total(completion_tokens) AS INTEGER), total(cost_usd)"
_CALLS = (
    f"SELECT {_ROLE}, count(*), sum(failed), {_TAKEN}, count(*) - count(cost_usd), "
    "cast(total({}) AS INTEGER), 0, cast(total({}) AS INTEGER) FROM calls GROUP BY 1"
)
_ATTEMPTS = (
    f"SELECT {_ROLE}, 0, 0, {_TAKEN}, 0, sum(estimated), sum(interrupted), cast(total({{}}) AS INTEGER) "
    "FROM failed_attempts GROUP BY 1"
)


def calls_by_role(ledgers: Iterable[Path]) -> dict[str, Calls]:
    """Calls on record in several ledgers, by the role of the model: `judge`, `policy` or `reviser`. Tokens and
    cost of failed attempts are included.

    Raises: PreceptorError when a ledger cannot be read.
    """
    by_role: dict[str, Calls] = {JUDGE: Calls()}
    for path in ledgers:
        [(version,)] = _read(path, "PRAGMA user_version")
        cached = "cached_tokens" if version >= 4 else "0"
        rows = _read(path, _CALLS.format("estimated" if version >= 3 else "0", cached), JUDGE)
        if version >= 3:
            rows += _read(path, _ATTEMPTS.format(cached), JUDGE)
        for role, *counts in rows:
            by_role[role] = by_role.get(role, Calls()) + Calls(**dict(zip(Calls.model_fields, counts, strict=True)))
    return by_role


def _read(ledger: Path, query: str, *values: str, mode: str = "ro") -> list[tuple[Any, ...]]:
    """The rows of a query.

    Raises: PreceptorError when the ledger cannot be read.
    """
    try:
        with closing(sqlite3.connect(f"{ledger.absolute().as_uri()}?mode={mode}", uri=True)) as connection:
            return connection.execute(query, values).fetchall()
    except sqlite3.Error as error:
        raise PreceptorError(f"{ledger}: the ledger cannot be read: {error}") from error


class RecordedCall(Frozen):
    """A call as the ledger has it, for reading."""

    key: str
    operation: str
    model: str
    rater: JsonObject
    request: JsonObject
    outcome: JsonObject
    failed: bool
    prompt_tokens: int
    completion_tokens: int
    cost_usd: float | None
    """None where the price is not known."""
    estimated: bool
    """Whether the tokens are an estimate."""
    created_at: str
    attempt: bool
    """Whether it is an attempt that failed and was, or may be, made again."""


def calls_with(ledger: Path, texts: Sequence[str], most: int = 50) -> list[RecordedCall]:
    """The recorded calls and failed attempts whose request contains all of these texts, the earliest first. The whole
    ledger is searched.

    Raises: PreceptorError when it cannot be read.
    """
    condition = " AND ".join(["instr(request, ?)"] * len(texts)) or "1"
    fragments = [json.dumps(text, ensure_ascii=False)[1:-1] for text in texts]
    condition = f"{condition} ORDER BY rowid LIMIT {most:d}"
    found = _recorded(ledger, "calls", condition, fragments) + _recorded(ledger, _ATTEMPTED, condition, fragments)
    return sorted(found, key=lambda call: call.created_at)[:most]


def calls_by_key(ledger: Path, keys: Sequence[str]) -> dict[str, RecordedCall]:
    """The recorded calls with these keys (`ledger.call_key`), by key; keys that are not on record are left out.

    Raises: PreceptorError when it cannot be read.
    """
    return {call.key: call for call in _of_keys(ledger, "calls", keys)}


def verdicts_of(ledger: Path, model: str, most: int) -> list[RecordedCall]:
    """Recorded calls in which a model was asked for the probabilities of choices and gave an answer, in the order of
    their keys, which are hashes: a sample that does not depend on when they were made.

    Raises: PreceptorError when the ledger cannot be read.
    """
    condition = f"operation = 'choose' AND model = ? AND NOT failed ORDER BY key LIMIT {most:d}"
    return _recorded(ledger, "calls", condition, [model])


def attempts_by_key(ledger: Path, keys: Sequence[str]) -> list[RecordedCall]:
    """The failed attempts at the calls with these keys; those that were in flight when a process ended have no request.

    Raises: PreceptorError when it cannot be read.
    """
    return _of_keys(ledger, _ATTEMPTED, keys)


_ATTEMPTED = "failed_attempts"
_ABSENT: dict[str, tuple[dict[str, str], ...]] = {
    "calls": ({"estimated": "0", "cost_usd": "0.0"}, {"estimated": "0", "cost_usd": "0.0"}, {"estimated": "0"}),
    _ATTEMPTED: (
        {},
        {},
        {"estimated": "0", "cost_usd": "0.0", "rater": "'{}'", "prompt_tokens": "0", "completion_tokens": "0"},
    ),
}
"""The columns that a table lacks, by the version of the ledger, and what stands for them."""


def _of_keys(ledger: Path, table: str, keys: Sequence[str]) -> list[RecordedCall]:
    found: list[RecordedCall] = []
    for start in range(0, len(keys), 500):  # SQLite limits the number of parameters
        part = keys[start : start + 500]
        found += _recorded(ledger, table, f"key IN ({','.join('?' * len(part))})", part)
    return found


def _recorded(ledger: Path, table: str, condition: str, values: Sequence[str]) -> list[RecordedCall]:
    """Calls or attempts that fulfil a condition. Ledgers that an earlier version wrote lack columns, and stay as they
    are.
    """
    # A reader leaves a write-ahead log behind where there was none, so a ledger that nobody writes is read without one.
    mode = "ro" if ledger.with_name(f"{ledger.name}-wal").exists() else "ro&immutable=1"
    [(version,)] = _read(ledger, "PRAGMA user_version", mode=mode)
    if table == _ATTEMPTED and version < 2:
        return []
    of_table = {"attempt": "1", "failed": "1"} if table == _ATTEMPTED else {"attempt": "0"}
    absent = of_table | (_ABSENT[table][version] if version < len(_ABSENT[table]) else {})
    columns = ", ".join(absent.get(name, name) for name in RecordedCall.model_fields)
    rows = _read(ledger, f"SELECT {columns} FROM {table} WHERE {condition}", *values, mode=mode)
    return [_parsed(dict(zip(RecordedCall.model_fields, row, strict=True))) for row in rows]


def _parsed(columns: dict[str, Any]) -> RecordedCall:
    parsed = {name: json.loads(columns[name]) for name in ("rater", "request", "outcome")}
    flags = {name: bool(columns[name]) for name in ("failed", "estimated", "attempt")}
    return RecordedCall.model_validate(columns | parsed | flags)
