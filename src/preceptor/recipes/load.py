"""Reading recipes: by name or from a file, at a scale, with settings overridden, validated with messages for people."""

import tomllib
from collections.abc import Iterator, Mapping, Sequence
from importlib.resources import files
from pathlib import Path
from typing import Any, TypeVar, get_args

import tomli_w
from pydantic import BaseModel, ValidationError

from preceptor.core.errors import UsageError, nearest
from preceptor.core.validation import explain
from preceptor.recipes.methods import METHODS, Recipe
from preceptor.store.reading import parse_toml, read_settings

_PACKAGED = files("preceptor.recipes")
_SCALES = _PACKAGED.joinpath("scales")
SHIPPED_ARMS = _PACKAGED.joinpath("arms_shipped")
"""The folder of the sets of recipes for `preceptor arms`."""
Validated = TypeVar("Validated", bound=BaseModel)
_DEEPEST_KEY = 8
"""Parts of a setting's key, at most."""
_NAMES = (
    ("policy",),
    ("prompts",),
    ("judge", "model"),
    ("judge", "constitution"),
    ("evaluation", "references"),
    ("evaluation", "judge", "model"),
    ("evaluation", "judge", "constitution"),
    ("sft", "demonstrations"),
    ("preferences", "human"),
    ("best_of_n", "reward_model"),
    ("reward_model", "model"),
    ("revision", "constitution"),
    ("rewards", "functions"),
)
"""Settings that may be the path of a local file."""


def shipped_recipes() -> list[str]:
    """Names of the recipes that ship with preceptor."""
    return toml_names(_PACKAGED)


def shipped_scales() -> list[str]:
    """Names of the scales that ship with preceptor."""
    return toml_names(_SCALES)


def shipped_arms() -> list[str]:
    """Names of the sets of recipes that ship with preceptor, to be run side by side."""
    return toml_names(SHIPPED_ARMS)


def load_settings(name: str) -> dict[str, Any]:
    """A recipe as plain data, not validated, by the name of a shipped one or the path of a `.toml` file.

    Raises: UsageError when there is none, or it is no TOML.
    """
    if name.endswith(".toml"):
        return read_settings(Path(name), "the recipe")
    if name not in shipped_recipes():
        raise UsageError(
            f'there is no recipe "{name}"; {nearest(name, shipped_recipes())}, or give the path of a .toml'
        )
    return tomllib.loads(_PACKAGED.joinpath(f"{name}.toml").read_text(encoding="utf-8"))


def load_recipe(name: str, overrides: Sequence[str] = (), scale: str | None = None) -> Recipe:
    """Loads and validates a recipe.

    Args:
        name: a shipped recipe's name, or the path of a `.toml` file.
        overrides: settings as `dotted.key=value`, the value in TOML (a bare word is taken as a string).
        scale: name of a shipped scale, whose settings replace the recipe's where the recipe has them; before the
            overrides.

    Returns: an instance of the class of its method; see `methods.py`.
    Raises: UsageError that names the recipe, the key, what was expected and the nearest known key.
    """
    settings = load_settings(name)
    if scale is not None:
        _merge(settings, scale_settings(scale), _method(name, settings))
    override(settings, overrides)
    return validated(name, _method(name, settings), settings)


def override(settings: dict[str, Any], overrides: Sequence[str]) -> None:
    """Puts `dotted.key=value` settings in their places.

    Raises: UsageError for one that is none.
    """
    for each in overrides:
        _override(settings, each)


def check_known(settings: dict[str, Any]) -> None:
    """Checks that every setting is one of some method's.

    Raises: UsageError that names the first one which no method has.
    """
    for key in _leaves(settings):
        if not any(_has(method, key) for method in METHODS.values()):
            raise UsageError(f'common: no method has a setting "{".".join(key)}"')


def scale_settings(scale: str) -> dict[str, Any]:
    """The settings of a shipped scale.

    Raises: UsageError when there is none of that name.
    """
    if scale not in shipped_scales():
        raise UsageError(f'there is no scale "{scale}"; {nearest(scale, shipped_scales())}')
    return tomllib.loads(_SCALES.joinpath(f"{scale}.toml").read_text(encoding="utf-8"))


def compose(name: str, common: dict[str, Any], own: dict[str, Any], who: str) -> Recipe:
    """A recipe with settings that take its place: common ones where its method has them, and its own.

    Args:
        who: whose settings these are, for messages.

    Raises: UsageError as `load_recipe`.
    """
    settings = load_settings(name)
    method = _method(name, settings)
    _merge(settings, common, method)
    _overlay(settings, own)
    return validated(f"{who}: {name}", method, settings)


def validated(name: str, model: type[Validated], settings: dict[str, Any]) -> Validated:
    """Settings as their model.

    Raises: UsageError that names the recipe, the key, what was expected and the nearest known key.
    """
    try:
        return model.model_validate(settings)
    except ValidationError as error:
        raise UsageError(f"{name}: {explain(error, model)}") from error


def with_absolute_paths(recipe: Recipe) -> Recipe:
    """The recipe with the paths of existing local files made absolute, so that it means the same from any folder."""
    settings = recipe_data(recipe)
    for *path, key in _NAMES:
        table: Any = settings
        for part in path:
            table = table.get(part, {})
        if key in table:
            value = table[key]
            table[key] = _absolute(value) if isinstance(value, str) else [_absolute(each) for each in value]
    return type(recipe).model_validate(settings)


def recipe_data(recipe: Recipe) -> dict[str, Any]:
    """The recipe as plain data with every setting that has a value, named as in its file."""
    return recipe.model_dump(mode="json", exclude_none=True, by_alias=True)


def dump_recipe(recipe: Recipe) -> str:
    """The recipe as TOML with every setting written out."""
    return tomli_w.dumps(recipe_data(recipe))


def toml_names(folder: Any) -> list[str]:
    """Names of the TOML files in a packaged folder."""
    return sorted(f.name.removesuffix(".toml") for f in folder.iterdir() if f.name.endswith(".toml"))


def _method(name: str, settings: dict[str, Any]) -> type[Recipe]:
    """The class of the recipe's method.

    Raises: UsageError when it names none or an unknown one.
    """
    if "method" not in settings:
        raise UsageError(f'{name}: "method" is missing; {nearest("", METHODS)}')
    method = str(settings["method"])
    if method not in METHODS:
        raise UsageError(f'{name}: there is no method "{method}"; {nearest(method, METHODS)}')
    return METHODS[method]


def _absolute(name: str) -> str:
    """A name with a separator or an ending is a path where it exists; `embedded` stays a name beside such a folder."""
    path, colon, function = name.partition(":") if ".py:" in name else (name, "", "")
    is_path = ("/" in path or "." in path) and Path(path).exists()
    return f"{Path(path).absolute()}{colon}{function}" if is_path else name


def _leaves(settings: dict[str, Any], above: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    """The path of every value that is no table."""
    for key, value in settings.items():
        if isinstance(value, dict):
            yield from _leaves(value, (*above, key))
        else:
            yield (*above, key)


def _has(model: type[BaseModel], key: tuple[str, ...]) -> bool:
    """Whether a model has a setting at a path."""
    first, *rest = key
    names = dict(model.model_fields) | {field.alias: field for field in model.model_fields.values() if field.alias}
    if first not in names:
        return False
    return not rest or any(_has(table, tuple(rest)) for table in _tables(names[first].annotation))


def _overlay(settings: dict[str, Any], own: dict[str, Any]) -> None:
    """Puts settings in the place of others, tables key by key."""
    for key, value in own.items():
        if isinstance(value, dict) and isinstance(settings.get(key), dict):
            _overlay(settings[key], value)
        else:
            settings[key] = value


def _merge(settings: dict[str, Any], scaled: dict[str, Any], model: type[BaseModel], *, inside: bool = False) -> None:
    """Puts settings in the place of a recipe's, as far as the recipe's method has such tables and keys. An optional
    table that the recipe leaves out stays out, such as [sft]; one inside another table does not: [evaluation.judge].
    """
    for key, value in scaled.items():
        if key not in model.model_fields:
            continue
        field = model.model_fields[key]
        if not isinstance(value, dict):
            settings[key] = value
        elif key in settings or field.default is not None or inside:
            for table in _tables(field.annotation):
                if isinstance(settings.setdefault(key, {}), dict):  # else validation says what is wrong with it
                    _merge(settings[key], value, table, inside=True)


def _tables(annotation: Any) -> Iterator[type[BaseModel]]:
    """The settings that a field's type holds, itself or as an optional's."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for argument in get_args(annotation):
        yield from _tables(argument)


def _override(settings: dict[str, Any], override: str) -> None:
    key, equals, text = override.partition("=")
    if not equals or not key:
        raise UsageError(f"--set {override}: expected KEY=VALUE, for instance --set rl.steps=50")
    try:
        value = parse_toml(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        value = text
    except ValueError as error:
        raise UsageError(f"--set {key}: {error}") from error
    *path, last = key.split(".")
    if len(path) >= _DEEPEST_KEY or not all((*path, last)):
        raise UsageError(f"--set {override}: expected a key such as rl.steps")
    table = settings
    for part in path:
        table = table.setdefault(part, {})
        if not isinstance(table, dict):
            raise UsageError(f"--set {override}: {part} is a value, not a table of settings")
    table[last] = value


def read_tables(overrides: Sequence[str], tables: Mapping[str, type[BaseModel]]) -> dict[str, Any]:
    """Settings of several tables, each validated, from `table.key=value`; those that are not named have their defaults.

    Raises: UsageError for an unknown table or key, or a wrong value.
    """
    settings: dict[str, Any] = {}
    override(settings, overrides)
    if unknown := next((name for name in settings if name not in tables), None):
        raise UsageError(f'--set: there is no table "{unknown}"; {nearest(unknown, tables)}')
    return {name: validated(f"--set {name}", model, settings.get(name, {})) for name, model in tables.items()}
