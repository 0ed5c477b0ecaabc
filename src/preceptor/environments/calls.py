"""Running one call on an environment, in the process where the environment lives. Nothing here raises: what a tool
raises is a reply.
"""

import asyncio
import inspect
import json
import math
import random
from dataclasses import dataclass
from typing import Any, Literal, cast

from pydantic import ConfigDict, TypeAdapter, ValidationError

from preceptor.core.seeds import derive_seed
from preceptor.core.validation import first_problem
from preceptor.environments.protocol import is_method, parameters_of, tool_names
from preceptor.environments.texts import one_line, shown_name

Failed = Literal["arguments", "unknown_tool", "raised"]
_LENIENT = ConfigDict(coerce_numbers_to_str=True)
"""Models write 5 where a text is expected as often as "5" where a number is, which pydantic takes as it is."""


@dataclass(frozen=True)
class Reply:
    """What came of a request.

    `text` is what the tool or `reset` returned (None only for `reset`), or the message of a failure.
    """

    text: str | None = None
    failed: Failed | None = None
    reward: float | None = None


def reset(environment: Any, row: dict[str, Any]) -> Reply:
    """Sets the environment up for a row."""
    random.seed(derive_seed(0, "environment", json.dumps(row, sort_keys=True)))
    try:
        text = _finished(environment.reset(**row))
        return Reply(text if text is None else str(text))
    except BaseException as error:  # whatever somebody else's class may raise
        return Reply(_said(error), "raised")


def call(environment: Any, name: str, arguments: str, characters: int) -> Reply:
    """Runs a tool.

    Args:
        arguments: JSON text as the model wrote it.
        characters: how much of the result is kept, and one character more.
    """
    kind = type(environment)
    if name not in tool_names(kind):
        return Reply(f'there is no tool "{shown_name(name)}"; tools: {", ".join(tool_names(kind))}', "unknown_tool")
    given = _arguments(environment, name, arguments)
    if isinstance(given, str):
        return Reply(given, "arguments")
    try:
        return Reply(str(_finished(getattr(environment, name)(**given)))[: characters + 1])
    except BaseException as error:
        return Reply(_said(error), "raised")


def reward(environment: Any, response: str | None) -> Reply:
    """What the environment says of the work done; a value that is no finite number is a failure."""
    method = environment.get_reward
    takes_response = response is not None and "response" in inspect.signature(method).parameters
    try:
        value = _finished(method(response=response) if takes_response else method())
        if value is None:
            return Reply()
        number = float(value)
    except BaseException as error:
        return Reply(_said(error), "raised")
    return Reply(reward=number) if math.isfinite(number) else Reply(f"get_reward returned {number}", "raised")


def _arguments(environment: Any, name: str, text: str) -> dict[str, Any] | str:
    """The arguments with their types, or what is wrong with them."""
    kind = type(environment)
    parameters = {p.name: p for p in parameters_of(getattr(kind, name), method=is_method(kind, name))}
    expected = f"expected a JSON object with {', '.join(parameters)}" if parameters else "expected {}"
    try:
        values: Any = json.loads(text, parse_constant=_refused) if text.strip() else {}
    except (ValueError, RecursionError):
        return f"the arguments of {name} are not valid JSON: {expected}"
    if not isinstance(values, dict):
        return f"the arguments of {name} are no object: {expected}"
    given = cast("dict[str, Any]", values)
    if unknown := [key for key in given if key not in parameters]:
        return f'{name} has no argument "{shown_name(unknown[0])}": {expected}'
    if missing := [key for key, p in parameters.items() if p.default is p.empty and key not in given]:
        return f'the argument "{missing[0]}" of {name} is missing'
    typed: dict[str, Any] = {}
    for key, value in given.items():
        try:
            typed[key] = _typed(parameters[key].annotation, value)
        except ValidationError as error:
            return f"{name}: {first_problem(error, within=key)}"
    return typed


def _refused(constant: str) -> None:
    raise ValueError(f"{constant} is no JSON")  # NaN and Infinity, which Python reads


def _typed(annotation: Any, value: Any) -> Any:
    adapter: TypeAdapter[Any] = TypeAdapter(annotation, config=_LENIENT)
    return adapter.validate_python(value)


def _finished(result: Any) -> Any:
    """What a method returned; an async method is run to its end."""
    return asyncio.run(cast("Any", result)) if inspect.iscoroutine(result) else result


def _said(error: BaseException) -> str:
    """An error's message on one line; its name where it has none."""
    try:
        return one_line(str(error)) or type(error).__name__
    except BaseException:
        return type(error).__name__
