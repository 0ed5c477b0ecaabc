"""JSON schemas of tools, made from signatures and docstrings. They equal those that transformers makes, which TRL shows
to the model.
"""

import inspect
import re
import types
from collections.abc import Callable
from typing import Any, Literal, Union, get_args, get_origin

from preceptor.core.errors import UsageError
from preceptor.core.fields import JsonObject
from preceptor.environments.protocol import parameters_of

_BASIC: dict[Any, JsonObject] = {
    str: {"type": "string"},
    int: {"type": "integer"},
    float: {"type": "number"},
    bool: {"type": "boolean"},
    type(None): {"type": "null"},
    list: {"type": "array"},
    dict: {"type": "object"},
    Any: {},
}
_SUPPORTED = "str, int, float, bool, list[...], dict[str, ...], Literal[...], or several of them with |"
_SECTION = re.compile(r"^(Args|Returns|Raises|Examples):\s*$")
_ARGUMENT = re.compile(r"^(\s*)(\w+):\s*(.*)$")


def tool_schema(function: Callable[..., Any], *, method: bool) -> JsonObject:
    """The description of a tool as chat templates and the OpenAI API take it.

    Args:
        method: whether the first parameter is the instance.

    Raises: UsageError naming the tool, and what its signature or docstring lacks.
    """
    name = function.__name__
    described, arguments, returns = _docstring(function)
    if not described:
        raise UsageError(f"the tool {name} has no docstring, so the model would not know what it does")
    properties: JsonObject = {}
    required: list[Any] = []
    for parameter in _parameters(function, method):
        properties[parameter.name] = _described(name, parameter, arguments)
        if parameter.default is inspect.Parameter.empty:
            required.append(parameter.name)
    schema: JsonObject = {"type": "object", "properties": properties}
    schema |= {"required": required} if required else {}
    answer: JsonObject = {"name": name, "description": described, "parameters": schema}
    return {"type": "function", "function": answer | _returned(function, returns)}


def _parameters(function: Callable[..., Any], method: bool) -> list[inspect.Parameter]:
    try:
        parameters = parameters_of(function, method=method)
    except (NameError, TypeError) as error:
        raise UsageError(f"the tool {function.__name__}: a type in its signature is unknown: {error}") from error
    for parameter in parameters:
        if parameter.kind not in (parameter.POSITIONAL_OR_KEYWORD, parameter.KEYWORD_ONLY):
            raise UsageError(f"the tool {function.__name__}: expected parameters with names, got {parameter}")
        if parameter.annotation is parameter.empty:
            raise UsageError(f"the tool {function.__name__}: its parameter {parameter.name} has no type")
    return parameters


def _described(tool: str, parameter: inspect.Parameter, arguments: dict[str, str]) -> JsonObject:
    schema = _type(parameter.annotation)
    if schema is None:
        raise UsageError(
            f"the tool {tool}: a model cannot give {parameter.name}: {parameter.annotation}; expected {_SUPPORTED}"
        )
    if parameter.name not in arguments:
        raise UsageError(
            f"the tool {tool}: its docstring does not describe {parameter.name}; expected a line "
            f'"{parameter.name}: ..." under Args:'
        )
    return schema | {"description": arguments[parameter.name]}


def _returned(function: Callable[..., Any], described: str) -> JsonObject:
    annotation = inspect.signature(function, eval_str=True).return_annotation
    schema = None if annotation is inspect.Signature.empty else _type(annotation)
    if schema is None:
        return {}
    return {"return": schema | ({"description": described} if described else {})}


def _type(hint: Any) -> JsonObject | None:
    """The schema of a type; None for a type that has none."""
    hint = type(None) if hint is None else hint
    origin, parts = get_origin(hint), get_args(hint)
    if origin is None:
        return dict(_BASIC[hint]) if hint in _BASIC else None
    if origin in (Union, types.UnionType):
        return _union(parts)
    return _choices(list(parts)) if origin is Literal else _container(origin, parts)


def _container(origin: Any, parts: tuple[Any, ...]) -> JsonObject | None:
    held = _type(parts[-1]) if parts else None
    if held is None or (origin is dict and parts[0] is not str):
        return None
    schemas: dict[Any, JsonObject] = {
        list: {"type": "array", "items": held},
        dict: {"type": "object", "additionalProperties": held},
    }
    return schemas.get(origin)


def _union(parts: tuple[Any, ...]) -> JsonObject | None:
    schemas = [_type(part) for part in parts if part is not type(None)]
    known = [schema for schema in schemas if schema is not None]
    if len(known) < len(schemas):
        return None
    basic = all(schema.keys() == {"type"} and isinstance(schema["type"], str) for schema in known)
    union: JsonObject
    if len(known) == 1:
        union = known[0]
    elif basic:
        names: list[Any] = sorted({str(schema["type"]) for schema in known})
        union = {"type": names[0] if len(names) == 1 else names}
    else:
        union = {"anyOf": [*known]}
    return union | ({"nullable": True} if type(None) in parts else {})


def _choices(values: list[Any]) -> JsonObject | None:
    if not {type(value) for value in values} <= {int, str, bool, type(None)}:
        return None
    names: list[Any] = list(dict.fromkeys(_BASIC[type(value)]["type"] for value in values))
    return {"type": names[0] if len(names) == 1 else names, "enum": values}


def _docstring(function: Callable[..., Any]) -> tuple[str, dict[str, str], str]:
    """What a docstring in Google's style says: of the function, of its parameters, and of what it returns."""
    sections: dict[str, list[str]] = {"": []}
    current = ""
    for line in (inspect.getdoc(function) or "").splitlines():
        if heading := _SECTION.match(line):
            current = heading[1]
            sections.setdefault(current, [])
        else:
            sections[current].append(line)
    returns = "\n".join(line.strip() for line in sections.get("Returns", [])).strip()
    return "\n".join(sections[""]).strip(), _arguments(sections.get("Args", [])), returns


def _arguments(lines: list[str]) -> dict[str, str]:
    """Each parameter's description; a line that is indented deeper than the first continues the one before."""
    described: dict[str, str] = {}
    name, indent = "", None
    for line in (line for line in lines if line.strip()):
        found = _ARGUMENT.match(line)
        if found and (indent is None or len(found[1]) <= indent):
            name, indent = found[2], len(found[1])
            described[name] = found[3].strip()
        elif name:
            described[name] = f"{described[name]} {line.strip()}".strip()
    return described
