"""Messages about what is wrong with data from outside."""

import difflib
import inspect
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from numbers import Integral, Real
from typing import Any, TypeVar, get_args

from pydantic import BaseModel, ValidationError

from preceptor.core.errors import UsageError, nearest

Settings = TypeVar("Settings", bound=BaseModel)
_NEARLY = 0.8
"""The similarity from which a name counts as a misspelling of another: "promts" and "prompts" have 0.92."""
_SHOWN = 200
"""Characters of a wrong value that an error shows."""


def check_dollars(name: str, dollars: float | None) -> float | None:
    """Returns the amount if it is valid; None stays None.

    Raises: UsageError for NaN, infinity, negative numbers and anything but numbers.
    """
    if dollars is not None and not (_is_number(dollars) and 0.0 <= dollars < math.inf):
        given = f"{dollars:g}" if _is_number(dollars) else repr(dollars)
        raise UsageError(f"{name} {given}: expected dollars, 0 or more; leave it out for no amount")
    return dollars


def check_count(name: str, count: int | None, least: int = 1) -> None:
    """Raises: UsageError unless the count is a whole number and at least `least`. None passes."""
    if count is not None and not (_is_number(count) and isinstance(count, Integral) and count >= least):
        raise UsageError(f"{name} = {count!r}: expected a whole number, {least} or more")


def check_share(name: str, share: float) -> None:
    """Raises: UsageError unless the share is a number from 0 to 1."""
    if not (_is_number(share) and 0.0 <= share <= 1.0):
        raise UsageError(f"{name} = {share!r}: expected a number from 0 to 1")


def check_choice(name: str, choice: str, choices: Any) -> None:
    """Raises: UsageError unless the choice is one of those of a `Literal` type."""
    known: tuple[str, ...] = get_args(choices)
    if choice not in known:
        raise UsageError(f"{name} = {choice!r}: expected {' or '.join(repr(each) for each in known)}")


def settings_of(name: str, kind: type[Settings], given: Settings | Mapping[str, Any] | None) -> Settings | None:
    """Settings as a program gives them: made already, or as a mapping; None stays None.

    Args:
        name: of the argument.

    Raises: UsageError naming the key and what was expected.
    """
    if given is None or isinstance(given, kind):
        return given
    if not isinstance(given, Mapping):
        raise UsageError(f"{name}: expected {kind.__name__} or a dict of its settings, got {type(given).__name__}")
    try:
        return kind.model_validate(dict(given))
    except ValidationError as error:
        raise UsageError(f"{name}: {explain(error, kind)}") from error


def check_keywords(given: Iterable[str], function: Callable[..., object], otherwise: str = "") -> None:
    """Checks further keywords of a function that takes any: none may be nearly one of its own.

    Args:
        otherwise: how such a name can be given if it was meant.

    Raises: UsageError that offers the keyword.
    """
    own = [name for name, of in inspect.signature(function).parameters.items() if of.kind is of.KEYWORD_ONLY]
    for name in given:
        if close := difflib.get_close_matches(name, own, n=1, cutoff=_NEARLY):
            offered = f'{function.__name__}: unknown keyword "{name}"; did you mean "{close[0]}"?'
            raise UsageError(f"{offered} {otherwise}".rstrip())


def _is_number(value: object) -> bool:
    return isinstance(value, Real) and value is not True and value is not False


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
    return f"{where} = {repr(first['input'])[:_SHOWN]}: {_words(first['msg']).lower()}"


def _words(message: str) -> str:
    """The message without the prefix that pydantic adds to messages of validators."""
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
