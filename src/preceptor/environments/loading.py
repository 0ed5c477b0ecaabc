"""Environments by name, and environments made from plain functions."""

import inspect
import json
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, cast

from preceptor.core.errors import UsageError, nearest
from preceptor.core.fields import JsonObject
from preceptor.core.types import Message, Prompt
from preceptor.environments.protocol import is_method, parameters_of, tool_names
from preceptor.environments.schema import tool_schema
from preceptor.store.named_objects import load_object, name_of
from preceptor.store.prompts import read_prompts

SHIPPED = {
    "calculator": "preceptor.environments.calculator:Calculator",
    "support_desk": "preceptor.environments.support_desk:SupportDesk",
}
"""The environments that ship with preceptor, and where their classes are."""
_WHAT = "the environment"


@dataclass(frozen=True)
class EnvironmentClass:
    """An environment's class, checked: its tools can be described to a model, and `reset` takes a prompt's row."""

    name: str
    """How its class is named in settings; the functions' names, with commas between, where it has only tools."""
    made_from: tuple[str, ...]
    """The name of the class; or the names of the functions, where there are only tools."""
    kind: type[Any]
    tools: tuple[JsonObject, ...]
    """JSON schemas of the tools, as chat templates take them."""
    only_tools: bool = False

    @property
    def tool_names(self) -> list[str]:
        """The tools' names, in the order of `tools`."""
        return tool_names(self.kind)

    @property
    def has_reward(self) -> bool:
        """Whether the environment says how well a task was done."""
        return callable(getattr(self.kind, "get_reward", None))


def load_environment(name: str | type[Any]) -> EnvironmentClass:
    """The environment of a name: a shipped one, `path/file.py:ClassName` or `package.module:ClassName`; or of a class.

    Raises: UsageError when there is no such class, or naming what it lacks.
    """
    text = name if isinstance(name, str) else _name_in_file(name, _WHAT)
    if ":" not in text and text not in SHIPPED:
        raise UsageError(f'{_WHAT} "{text}": {nearest(text, SHIPPED, "path/file.py:ClassName")}')
    kind = load_object(SHIPPED.get(text, text), _WHAT, "ClassName") if isinstance(name, str) else name
    if not inspect.isclass(kind):
        raise UsageError(f'{_WHAT} "{text}": expected a class, got {type(kind).__name__}')
    _check_reset(text, kind)
    return EnvironmentClass(text, (text,), kind, _schemas(text, kind))


def load_tools(tools: Sequence[str | Callable[..., Any]]) -> EnvironmentClass:
    """The environment that has functions as its tools, and neither a task nor a reward of its own.

    Args:
        tools: functions, or their names as `path/file.py:function`.

    Raises: UsageError when there is no such function, or naming what it lacks.
    """
    names = tuple(tool if isinstance(tool, str) else _name_in_file(tool, "the tool") for tool in tools)
    if not names:
        raise UsageError("there are no tools: expected one or more functions, as path/file.py:function")
    members: dict[str, Any] = {"reset": lambda self, **row: None}
    for name, given in zip(names, tools, strict=True):
        function = load_object(name, "the tool", "function") if isinstance(given, str) else given
        if not inspect.isfunction(function):
            raise UsageError(f'the tool "{name}": expected a function, got {type(function).__name__}')
        if function.__name__ in members or function.__name__.startswith("_") or function.__name__ == "get_reward":
            raise UsageError(f'the tool "{name}": a tool cannot be called {function.__name__} here')
        members[function.__name__] = staticmethod(function)
    kind = type("Tools", (), members)
    listed = ", ".join(names)
    return EnvironmentClass(listed, names, kind, _schemas(listed, kind), only_tools=True)


def row_of(prompt: Prompt) -> dict[str, Any]:
    """A prompt as the row that `reset` gets, and as a row of a data set for TRL."""
    messages: list[Any] = [_for_template(message) for message in prompt.conversation]
    own: JsonObject = {"prompt": messages, "id": prompt.id, "cohort": prompt.cohort, "reference": prompt.reference}
    return prompt.metadata | own


def _for_template(message: Message) -> JsonObject:
    """A message as chat templates take it: the arguments of a call as an object, where they are one."""
    wire = message.wire()
    for call in cast("list[Any]", wire.get("tool_calls", [])):
        with suppress(ValueError):
            call["function"]["arguments"] = json.loads(call["function"]["arguments"])
    return wire


def environment_rows(prompts: str) -> list[dict[str, Any]]:
    """The rows of a prompt file or of a packaged set of tasks, such as `package:calculator_easy`: for
    `EnvironmentPool.start`, or for TRL as a data set.

    Raises: UsageError naming file and line where one is wrong.
    """
    return [row_of(prompt) for prompt in read_prompts(prompts)]


def _name_in_file(thing: Any, what: str) -> str:
    """The name by which another process finds a class or a function."""
    name = name_of(thing)
    if name.startswith("__main__:") or "<locals>" in name:
        raise UsageError(
            f"{what} {thing.__name__} is in no file that another process could load: write it to a file, outside of "
            "any function"
        )
    return name


def _check_reset(name: str, kind: type[Any]) -> None:
    reset = getattr(kind, "reset", None)
    if not inspect.isfunction(reset):
        raise UsageError(f'{_WHAT} "{name}": expected a method reset(self, **row)')
    if not any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters_of(reset, method=True)):
        raise UsageError(f'{_WHAT} "{name}": reset gets every column of a row: expected reset(self, ..., **row)')


def _schemas(name: str, kind: type[Any]) -> tuple[JsonObject, ...]:
    tools = tool_names(kind)
    if not tools:
        raise UsageError(f'{_WHAT} "{name}" has no tools: expected public methods with types and docstrings')
    try:
        return tuple(tool_schema(getattr(kind, tool), method=is_method(kind, tool)) for tool in tools)
    except UsageError as error:
        raise UsageError(f'{_WHAT} "{name}": {error}') from error
