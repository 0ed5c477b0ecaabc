"""Tools in rows: the JSON schemas of what an agent could call, as TRL has them in the column `tools`."""

import json
from collections.abc import Sequence
from typing import Any

from preceptor.core.hashing import canonical_json
from preceptor.core.types import JsonObject
from preceptor.store.reading import parse_json


class WrongToolsError(ValueError):
    """What is wrong with the tools of a row, on one line."""


def read_tools(value: Any) -> tuple[JsonObject, ...]:
    """The tools of a row; none where it has no such column.

    Args:
        value: a list of JSON schemas, or that list as JSON text. Columnar files fill schemas up with nulls, which are
            left out.

    Raises: WrongToolsError.
    """
    try:
        listed: Any = parse_json(value) if isinstance(value, str) else value
        tools: Any = _without_nulls([] if listed is None else listed)
        if not isinstance(tools, list) or not all(map(_is_named, tools)):
            raise WrongToolsError("tools: expected a list of JSON schemas, each with the name of a function")
        canonical_json(tools)
    except WrongToolsError:
        raise
    except (TypeError, ValueError) as error:
        raise WrongToolsError(f"tools: expected what JSON can hold ({error})") from error
    return tuple(tools)


def tools_text(tools: Sequence[JsonObject]) -> str | None:
    """Tools as one text for a column, as TRL reads it; None without tools."""
    return json.dumps(list(tools), ensure_ascii=False) if tools else None


def _is_named(tool: Any) -> bool:
    function: Any = tool.get("function", tool) if isinstance(tool, dict) else None
    return isinstance(function, dict) and isinstance(function.get("name"), str) and bool(function["name"])


def _without_nulls(value: Any) -> Any:
    if isinstance(value, dict):
        return {str(key): _without_nulls(part) for key, part in value.items() if part is not None}
    return [_without_nulls(part) for part in value] if isinstance(value, list | tuple) else value
