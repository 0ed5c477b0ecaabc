"""Content hashes: the same content has the same hash on every machine and in every version of Python."""

import hashlib
import json
from typing import Any

_CANONICAL = json.JSONEncoder(sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)


def canonical_json(value: Any) -> str:
    """JSON with sorted keys and no spaces, so that equal values give equal text. NaN and infinity are refused."""
    return _CANONICAL.encode(value)


def content_hash(value: Any) -> str:
    """SHA-256 of the canonical JSON of `value`, as 64 hex digits."""
    return text_hash(canonical_json(value))


def text_hash(text: str) -> str:
    """SHA-256 of a text in UTF-8, as 64 hex digits."""
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def unit_hash(*parts: str | int) -> float:
    """A number in [0, 1) that depends on `parts` alone: for stable splits and stable shuffles."""
    return int(content_hash(list(parts))[:13], 16) / 16**13
