"""Layers of settings: a scale, the common settings of arms, and `--set key=value`. Each overrides the ones below.

They are merged as plain data before validation, so an error names the key that the user wrote.
"""

import tomllib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, cast, get_args

from pydantic import BaseModel

from preceptor.core.errors import UsageError
from preceptor.store.reading import Settings, parse_toml

_DEEPEST_KEY = 8
"""The largest number of parts in a setting's key."""


def replace(settings: Settings, own: Mapping[str, object]) -> None:
    """Overrides settings by others; tables are merged key by key."""
    for key, value in own.items():
        below = settings.get(key)
        if isinstance(value, Mapping) and isinstance(below, dict):
            replace(below, cast("Mapping[str, object]", value))
        else:
            settings[key] = value


def replace_known(
    settings: Settings, shared: Mapping[str, object], schema: type[BaseModel], *, inside: bool = False
) -> None:
    """Overrides a recipe's settings by common settings, as far as the recipe's schema has them.

    An optional table that the recipe leaves out, such as [sft], is not added. A nested one, such as [evaluation.judge],
    is.
    """
    for key, value in shared.items():
        if key not in schema.model_fields:
            continue
        field = schema.model_fields[key]
        if not isinstance(value, dict):
            settings[key] = value
        elif key in settings or field.default is not None or inside:
            for table in tables_in(field.annotation):
                if isinstance(below := settings.setdefault(key, {}), dict):  # validation reports anything else
                    replace_known(below, value, table, inside=True)


def override(settings: Settings, overrides: Sequence[str]) -> None:
    """Applies `dotted.key=value` settings. A value is parsed as TOML, or taken as text if it is not valid TOML.

    Raises: UsageError for one without a key or a value, or with a key that treats a value as a table.
    """
    for text in overrides:
        _override(settings, text)


def check_known(settings: Mapping[str, object], schemas: Sequence[type[BaseModel]]) -> None:
    """Raises: UsageError naming the first setting that no schema has."""
    for key in _keys(settings):
        if not any(_has(schema, key) for schema in schemas):
            raise UsageError(f'common: no method has a setting "{".".join(key)}"')


def tables_in(annotation: Any) -> Iterator[type[BaseModel]]:
    """The tables that a field's type allows, alone or in a union."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for argument in get_args(annotation):
        yield from tables_in(argument)


def _keys(settings: Mapping[str, object], above: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    """The key of every value that is not a table."""
    for key, value in settings.items():
        if isinstance(value, dict):
            yield from _keys(value, (*above, key))
        else:
            yield (*above, key)


def _has(schema: type[BaseModel], key: tuple[str, ...]) -> bool:
    """Whether a schema has a setting of this key."""
    first, *rest = key
    fields = dict(schema.model_fields) | {field.alias: field for field in schema.model_fields.values() if field.alias}
    if first not in fields:
        return False
    return not rest or any(_has(table, tuple(rest)) for table in tables_in(fields[first].annotation))


def _override(settings: Settings, text: str) -> None:
    key, equals, written = text.partition("=")
    if not equals or not key:
        raise UsageError(f"--set {text}: expected KEY=VALUE, for instance --set rl.steps=50")
    try:
        value: object = parse_toml(f"value = {written}")["value"]
    except tomllib.TOMLDecodeError:
        value = written
    except ValueError as error:
        raise UsageError(f"--set {key}: {error}") from error
    *path, last = key.split(".")
    if len(path) >= _DEEPEST_KEY or not all((*path, last)):
        raise UsageError(f"--set {text}: expected a key such as rl.steps")
    table = settings
    for part in path:
        inner = table.setdefault(part, {})
        if not isinstance(inner, dict):
            raise UsageError(f"--set {text}: {part} is a value, not a table of settings")
        table = inner
    table[last] = value
