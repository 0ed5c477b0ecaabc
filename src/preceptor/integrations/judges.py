"""The judge that a configuration names: one for each process, however often it is named."""

import inspect
import json
from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any, cast

import preceptor as pc


def judge_of(settings: Mapping[str, Any]) -> pc.Judge:
    """The judge with these settings, which is opened once in a process.

    Args:
        settings: the arguments of `preceptor.Judge` by name; nested mappings, such as `connection`, are allowed.

    Raises: UsageError for an argument that a judge does not take, and as `preceptor.Judge`.
    """
    return _judge_of(json.dumps(_plain(settings), sort_keys=True))


@cache
def _judge_of(text: str) -> pc.Judge:
    settings, known = json.loads(text), inspect.signature(pc.Judge).parameters
    if unknown := settings.keys() - known.keys():
        raise pc.UsageError(f"judge: unknown argument {', '.join(sorted(unknown))}; known: {', '.join(known)}")
    return pc.Judge(**settings)


def _plain(value: Any) -> Any:
    """Plain dicts and lists, in place of the types of configuration libraries."""
    if isinstance(value, Mapping):
        held = cast("Mapping[object, Any]", value)
        return {str(key): _plain(inner) for key, inner in held.items()}
    if isinstance(value, Sequence) and not isinstance(value, str):
        return [_plain(inner) for inner in cast("Sequence[Any]", value)]
    return value if isinstance(value, str | int | float | bool | None) else str(value)
