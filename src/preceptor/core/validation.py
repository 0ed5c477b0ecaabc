"""Messages about what is wrong with data from outside."""

import difflib
import inspect
import json
import math
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from numbers import Integral, Real
from typing import Any, TypeVar, get_args

from pydantic import BaseModel, ValidationError

from preceptor.core.errors import UsageError, nearest

Settings = TypeVar("Settings", bound=BaseModel)
_NEARLY = 0.8
"""The similarity from which a name counts as a misspelling of another: "promts" and "prompts" have 0.92."""
_SHOWN = 200
"""Characters of a wrong value of a setting that an error shows."""
_SHOWN_IN_ROWS = 40
"""Characters of a wrong value in data, which may be private."""


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


def first_problem(error: ValidationError, within: str = "") -> str:
    """The first problem on one line, as in `conversation.0.content: expected a text, got 3`.

    Args:
        within: the name of what was validated, if that is a part of something larger.
    """
    first = error.errors()[0]
    where = ".".join([*([within] if within else []), *map(str, first["loc"])])
    if first["type"] == "missing":
        return f'"{where}" is missing'
    if first["type"] == "extra_forbidden":
        return f'unknown key "{where}"'
    said = _words(first["msg"])
    got = f", got {_shown(first['input'])}" if said.startswith("expected ") and ", got" not in said else ""
    return f"{where}: {said}{got}" if where else said


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
    said = _words(first["msg"]).replace("an object", "a table")
    return f"{where} = {repr(first['input'])[:_SHOWN]}: {said[:1].lower()}{said[1:]}"


_PLAIN = (
    (r"^Value error, ", ""),
    (r"^Input should be ", "expected "),
    (r"^String should have (at (?:least|most) \d+ characters?)$", r"expected a text of \1"),
    (r"^\w+ should have (at (?:least|most) \d+ items?).*$", r"expected \1"),
    (r"^expected (greater|less) than", r"expected a number \1 than"),
    (r"a valid dictionary or instance of \w+|a valid dictionary", "an object"),
    (r"a valid string", "a text"),
    (r"a valid (?:list|tuple|array)", "a list"),
    (r"a valid integer", "a whole number"),
    (r"a valid number", "a number"),
    (r"a valid boolean", "true or false"),
)
"""Patterns in pydantic's messages, and what they say to people who know JSON or TOML but not Python."""


def _words(message: str) -> str:
    """A message of pydantic in plain words."""
    for pattern, words in _PLAIN:
        message = re.sub(pattern, words, message)
    return message


def _shown(value: object) -> str:
    """A wrong value as JSON, shortened; of a list or an object only its kind."""
    if isinstance(value, Mapping):
        return "an object" if value else "an empty object"
    if isinstance(value, list | tuple):
        return "a list" if value else "an empty list"
    text = json.dumps(value, ensure_ascii=False, default=str)
    return text if len(text) <= _SHOWN_IN_ROWS else f"{text[:_SHOWN_IN_ROWS]}..."


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
