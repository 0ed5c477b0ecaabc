"""Messages about what is wrong with data from outside."""

import math
from collections.abc import Sequence
from typing import Any, get_args

from pydantic import BaseModel, ValidationError

from preceptor.core.errors import UsageError, nearest


def check_dollars(name: str, dollars: float | None) -> float | None:
    """Returns the amount if it is valid; None stays None.

    Raises: UsageError for NaN, infinity and negative numbers.
    """
    if dollars is not None and not (dollars >= 0.0 and math.isfinite(dollars)):
        raise UsageError(f"{name} {dollars:g}: expected dollars, 0 or more; leave it out for no amount")
    return dollars


def first_problem(error: ValidationError) -> str:
    """The first problem on one line, as in `conversation.0.content: Input should be a valid string`."""
    first = error.errors()[0]
    where = ".".join(str(part) for part in first["loc"])
    return f"{where}: {_words(first['msg'])}" if where else _words(first["msg"])


def explain(error: ValidationError, settings: type[BaseModel]) -> str:
    """The first problem with a file of settings. Unknown keys come first, because a misspelt key often explains a
    missing one.
    """
    problems = sorted(error.errors(), key=lambda problem: problem["type"] != "extra_forbidden")
    first = problems[0]
    path = [str(part) for part in first["loc"]]
    where = ".".join(path)
    if first["type"] == "extra_forbidden":
        return f'unknown key "{where}"; {nearest(path[-1], _fields_at(settings, path[:-1]))}'
    if first["type"] == "missing":
        return f'"{where}" is missing'
    if not where:  # a problem of the settings as a whole
        return _words(first["msg"])
    return f"{where} = {first['input']!r}: {_words(first['msg']).lower()}"


def _words(message: str) -> str:
    """The message without the prefix that pydantic adds to those of validators."""
    return message.removeprefix("Value error, ")


def _fields_at(model: type[BaseModel], path: Sequence[str]) -> list[str]:
    """Names of the fields of the settings at a path. Positions in lists are parts of the path and are skipped."""
    for part in path:
        if part in model.model_fields:
            within = _models_in(model.model_fields[part].annotation)
            if not within:
                return []
            model = within[0]
    return list(model.model_fields)


def _models_in(annotation: Any) -> list[type[BaseModel]]:
    """The settings classes in the type of a field: itself, or those inside a list or an optional."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    return [model for argument in get_args(annotation) for model in _models_in(argument)]
