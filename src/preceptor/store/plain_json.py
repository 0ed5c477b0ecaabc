"""Values of numpy, pandas and others as JSON."""

import json
from collections.abc import Mapping
from datetime import date, datetime
from typing import Any

_SHOWN = 40
"""Characters of a value that an error shows."""


def json_text(value: Any) -> str:
    """The value as JSON.

    Raises: TypeError, ValueError or RecursionError for what JSON cannot hold, half of a surrogate pair included.
    """
    text = json.dumps(value, ensure_ascii=False, allow_nan=False)
    text.encode("utf-8")  # raises for half of a surrogate pair
    return text


def plain(value: Any) -> Any:
    """The value in a form that JSON can hold; arrays and scalars of numpy (and tensors) have `tolist`.

    Raises: TypeError for a value of another type.
    """
    tolist: Any = getattr(value, "tolist", None)
    if tolist is not None:
        return plain(tolist())
    if value is None or isinstance(value, str | bool | int | float):
        return value
    if isinstance(value, Mapping):
        return {_key(key): plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    if isinstance(value, datetime | date):
        return value.isoformat()
    raise TypeError(f"expected what JSON can hold, got {type(value).__name__}")


def fitting_line(row: Mapping[str, Any]) -> str:
    """The row as a line of JSON, without the columns that JSON cannot hold, such as images."""
    columns: list[str] = []
    for column, value in row.items():
        try:
            columns.append(f"{json_text(column)}: {json_text(plain(value))}")
        except (TypeError, ValueError, RecursionError):
            continue
    return f"{{{', '.join(columns)}}}\n"


def _key(key: Any) -> str:
    if not isinstance(key, str):
        raise TypeError(f"expected keys that are texts, got {str(key)[:_SHOWN]!r}")
    return key
