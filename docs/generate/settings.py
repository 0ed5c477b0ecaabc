"""The reference of recipe settings, from the classes that check them."""

import ast
import inspect
import math
import textwrap
from collections.abc import Iterator
from typing import Any, get_args

import tomli_w
from pydantic import BaseModel
from pydantic.fields import FieldInfo
from tables import table

from preceptor.recipes.base import Recipe
from preceptor.recipes.load import load_settings, shipped_recipes, shipped_scales, shipped_schemas

INTRODUCTION = """\
# Recipe settings

This page is generated from the classes that check a recipe. A recipe is a TOML file; any setting can also be given on
the command line as `--set table.key=value`. `preceptor recipes NAME` prints a recipe with every setting written out.
An unknown key, a wrong type or a value out of bounds is an error that names the key and the nearest known one.
"""


def page() -> str:
    """The page, in Markdown."""
    return "\n\n".join([INTRODUCTION, _shipped(), _methods(), *_sections()]) + "\n"


def _shipped() -> str:
    rows = []
    for name in shipped_recipes():
        settings = load_settings(name)
        rows.append((f"`{name}`", f"`{settings['method']}`", str(settings.get("description", ""))))
    scales = ", ".join(f"`--scale {name}`" for name in shipped_scales())
    return f"## Recipes that ship\n\n{table(('recipe', 'method', 'description'), rows)}\n\nScales: {scales}."


def _methods() -> str:
    """Which tables each method has."""
    rows = []
    for name, model in shipped_schemas().items():
        tables = [
            f"`[{key}]`"
            for key, field in _named(model)
            if _inner(field) and key not in ("evaluation", "tuning", "tracking", "engine")
        ]
        rows.append((f"`{name}`", _sentence(model), ", ".join(tables)))
    head = ("`method`", "what it does", "tables beside `[tuning]`, `[evaluation]`, `[tracking]` and `[engine]`")
    return f"## Methods\n\n{table(head, rows)}"


def _sections() -> Iterator[str]:
    """A section for the top level and one for each table. Tables of the same name may differ between methods: settings
    that only some methods have say so.
    """
    paths: dict[str, dict[str, type[BaseModel]]] = {}
    for method, model in shipped_schemas().items():
        for path, held in _tables(model):
            paths.setdefault(path, {})[method] = held
    for path, by_method in paths.items():
        title = f"[{path}]" if path else "Top level"
        texts = dict.fromkeys(_sentence(model) for model in by_method.values()) if path else ()
        yield f"## {title}\n\n{' '.join(texts)}\n\n{_settings(by_method)}"


def _tables(model: type[BaseModel], above: str = "") -> Iterator[tuple[str, type[BaseModel]]]:
    yield above, model
    for key, field in _named(model):
        for inner in _inner(field):
            yield from _tables(inner, f"{above}.{key}" if above else key)


def _settings(by_method: dict[str, type[BaseModel]]) -> str:
    rows: dict[tuple[str, ...], list[str]] = {}
    for method, model in by_method.items():
        docs, schema = _docs(model), model.model_json_schema()["properties"]
        for key, field in _named(model):
            if not _inner(field) and not (issubclass(model, Recipe) and key == "method"):
                row = (f"`{key}`", _default(field), _accepted(schema[key], model, field), docs.get(key, ""))
                rows.setdefault(row, []).append(method)
    cells = []
    for (key, default, accepted, meaning), methods in rows.items():
        only = "" if len(methods) == len(by_method) else f" (In {', '.join(methods)}.)"
        cells.append((key, default, accepted, meaning + only))
    return table(("setting", "default", "accepts", "meaning"), cells)


def _named(model: type[BaseModel]) -> Iterator[tuple[str, FieldInfo]]:
    return ((field.alias or name, field) for name, field in model.model_fields.items())


def _inner(field: FieldInfo) -> list[type[BaseModel]]:
    """The table that a setting holds, itself or as an optional's; nothing where it is a value."""
    return list(_models(field.annotation))


def _models(annotation: Any) -> Iterator[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for argument in get_args(annotation):
        yield from _models(argument)


def _default(field: FieldInfo) -> str:
    if field.is_required():
        return "required"
    value = field.get_default(call_default_factory=True)
    if value is None or value == {}:
        return ""
    return f"`{tomli_w.dumps({'x': list(value) if isinstance(value, tuple) else value}).partition('=')[2].strip()}`"


def _accepted(schema: dict[str, Any], model: type[BaseModel], field: FieldInfo) -> str:
    """What a setting accepts, in words, from its JSON schema."""
    if "$ref" in schema:
        schema = model.model_json_schema()["$defs"][schema["$ref"].rpartition("/")[2]]
    if "anyOf" in schema:
        return " or ".join(_accepted(form, model, field) for form in schema["anyOf"] if form.get("type") != "null")
    if "enum" in schema or "const" in schema:
        return ", ".join(f'`"{value}"`' for value in schema.get("enum", [schema.get("const")]))
    if schema.get("type") == "array":
        inner = schema.get("items", {})
        return f"a list of {_PLURAL.get(inner.get('type', ''), 'values')}"
    return " ".join([_NAMES.get(schema.get("type", ""), ""), _bounds(schema, field)]).strip()


def _bounds(schema: dict[str, Any], field: FieldInfo) -> str:
    """Of a bound that a type gives and one that its field gives, the tighter one."""
    lowest = max((m.ge for m in field.metadata if hasattr(m, "ge")), default=-math.inf)
    bounds = {key: schema[key] for key in _BOUNDS if key in schema and abs(schema[key]) < 1e15}
    if "minimum" in bounds:
        bounds["minimum"] = max(bounds["minimum"], lowest)
    return ", ".join(f"{_BOUNDS[key]} {_number(value)}" for key, value in bounds.items())


def _number(value: float) -> str:
    return f"{int(value):,}" if value == int(value) else f"{value:g}"


_NAMES = {
    "integer": "whole number",
    "number": "number",
    "boolean": "`true`, `false`",
    "string": "text",
    "object": "table",
}
_PLURAL = {"string": "texts", "number": "numbers", "integer": "whole numbers"}
_BOUNDS = {"minimum": "≥", "exclusiveMinimum": ">", "maximum": "≤", "exclusiveMaximum": "<"}


def _sentence(model: type[BaseModel]) -> str:
    return inspect.cleandoc(model.__doc__ or "").partition("\n\n")[0]


def _docs(model: type[BaseModel]) -> dict[str, str]:
    """The docstring below each field, by the field's name in a recipe."""
    found: dict[str, str] = {}
    for base in reversed(model.__mro__):
        if not issubclass(base, BaseModel) or base is BaseModel:
            continue
        body = ast.parse(textwrap.dedent(inspect.getsource(base))).body[0]
        assert isinstance(body, ast.ClassDef)
        for line, below in zip(body.body, body.body[1:], strict=False):
            if isinstance(line, ast.AnnAssign) and isinstance(line.target, ast.Name):
                said = below.value if isinstance(below, ast.Expr) else None
                if isinstance(said, ast.Constant) and isinstance(said.value, str):
                    found[line.target.id] = inspect.cleandoc(said.value)
    aliases = {name: field.alias or name for name, field in model.model_fields.items()}
    return {aliases.get(name, name): text for name, text in found.items()}
