"""Calls of models as they are recorded: what a call is, its key, and its rows in the ledger."""

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from preceptor.core.hashing import canonical_json, text_hash

JSON = dict[str, object]


@dataclass(frozen=True)
class Call:
    """One call and its outcome."""

    operation: str
    model: str
    rater: JSON | str
    """An object, or its canonical JSON."""
    request: JSON | str
    """An object, or its canonical JSON."""
    outcome: JSON
    failed: bool
    prompt_tokens: int
    completion_tokens: int
    transient: bool = False
    """Whether the failure may be temporary. Such a call is recorded as a failed attempt, and sent again."""
    cost_usd: float | None = 0.0
    """Dollars; None where the price is unknown."""
    estimated: bool = False
    """Whether tokens, and therefore dollars, are estimates."""
    cached_tokens: int = 0
    """Of the prompt tokens, those that the provider read from its cache."""
    key: str = ""
    """Content address of the call; computed if it is not given."""

    def __post_init__(self) -> None:
        if not self.key:
            object.__setattr__(self, "key", call_key(self.operation, self.model, self.request))


@dataclass(frozen=True)
class Sent:
    """A call that is about to be sent, and its estimated cost."""

    key: str
    operation: str
    model: str
    rater: JSON | str
    """An object, or its canonical JSON."""
    prompt_tokens: int
    completion_tokens: int
    cost_usd: float | None


def call_key(operation: str, model: str, request: JSON | str) -> str:
    """Content address of a call that asks `request` of `model`: the hash of the canonical JSON of the three.

    Args:
        request: an object, or its canonical JSON.
    """
    asked = f'"operation":{canonical_json(operation)},"request":{json_text(request)}'
    return text_hash(f'{{"model":{canonical_json(model)},{asked}}}')


def json_text(value: JSON | str) -> str:
    """Canonical JSON of an object; a text is that already."""
    return value if isinstance(value, str) else canonical_json(value)


ATTEMPT = (
    "key, operation, model, request, outcome, created_at, rater, prompt_tokens, completion_tokens, cost_usd, estimated"
)
"""Columns of a failed attempt, without what later versions added."""


def now_text() -> str:
    """The time that a row is written."""
    return datetime.now(UTC).isoformat(timespec="seconds")


def call_row(call: Call, now: str) -> tuple[Any, ...]:
    """A row of `calls`."""
    contents = (json_text(call.rater), json_text(call.request), canonical_json(call.outcome))
    counts = (int(call.failed), call.prompt_tokens, call.completion_tokens)
    return (call.key, call.operation, call.model, *contents, *counts, now, *_billed(call))


def attempt_row(call: Call, now: str) -> tuple[Any, ...]:
    """A row of `failed_attempts`, the columns of `ATTEMPT`."""
    contents = (json_text(call.request), canonical_json(call.outcome), now, json_text(call.rater))
    tokens = (call.prompt_tokens, call.completion_tokens)
    return (call.key, call.operation, call.model, *contents, *tokens, *_billed(call))


def _billed(call: Call) -> tuple[Any, ...]:
    return call.cost_usd, int(call.estimated), call.cached_tokens
