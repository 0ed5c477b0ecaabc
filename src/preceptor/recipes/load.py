"""Reading recipes: by name or from a file, at a scale, with settings overridden, validated with messages for people."""

import inspect
import tomllib
from collections.abc import Mapping, Sequence
from functools import cache
from importlib import import_module
from importlib.resources import files
from pathlib import Path
from pkgutil import iter_modules
from typing import Any, TypeVar, get_args

import tomli_w
from pydantic import BaseModel, ValidationError

from preceptor import recipes
from preceptor.core.errors import UsageError, nearest
from preceptor.core.types import JsonObject
from preceptor.core.validation import explain
from preceptor.recipes.base import Recipe
from preceptor.recipes.layers import override, replace, replace_known, tables_in
from preceptor.recipes.settings import MayBeAPath
from preceptor.store.hub.names import is_on_hub, with_commit
from preceptor.store.named_objects import load_object
from preceptor.store.reading import Settings, read_settings

_PACKAGED = files("preceptor.recipes")
_SCALES = _PACKAGED.joinpath("scales")
SHIPPED_ARMS = _PACKAGED.joinpath("arms_shipped")
"""The folder of the sets of recipes for `preceptor arms`."""
Validated = TypeVar("Validated", bound=BaseModel)


def shipped_recipes() -> list[str]:
    """Names of the recipes that ship with preceptor."""
    return toml_names(_PACKAGED)


def shipped_scales() -> list[str]:
    """Names of the scales that ship with preceptor."""
    return toml_names(_SCALES)


def shipped_arms() -> list[str]:
    """Names of the shipped sets of recipes for `preceptor arms`."""
    return toml_names(SHIPPED_ARMS)


@cache
def shipped_schemas() -> dict[str, type[Recipe]]:
    """The schemas of the methods that ship with preceptor, by the method's name, which is that of its module."""
    modules = [import_module(f"{recipes.__name__}.{module.name}") for module in iter_modules(recipes.__path__)]
    return {
        module.__name__.rpartition(".")[2]: schema
        for module in modules
        for _, schema in inspect.getmembers(module, inspect.isclass)
        if issubclass(schema, Recipe) and schema is not Recipe and schema.__module__ == module.__name__
    }


def schema_of(method: str) -> type[Recipe]:
    """The schema of the method that a recipe names: by a shipped method's name, or by the location of a class.

    A user's own file is executed. torch is imported only if that file imports it.

    Raises: UsageError when there is no such method, or it has no schema.
    """
    if ":" in method:
        schema: Any = getattr(load_object(method, "the method", "ClassName"), "schema", None)
        if isinstance(schema, type) and issubclass(schema, Recipe):
            return schema
        raise UsageError(
            f'the method "{method}": expected a subclass of preceptor.methods.base.Method whose `schema` is a subclass '
            "of preceptor.recipes.base.Recipe"
        )
    if method not in shipped_schemas():
        raise UsageError(
            f'there is no method "{method}"; {nearest(method, shipped_schemas())}. One of your own is named as '
            "path/file.py:ClassName"
        )
    return shipped_schemas()[method]


def load_settings(name: str) -> Settings:
    """A recipe as plain data, not validated, by the name of a shipped one or the path of a `.toml` file.

    Raises: UsageError when there is no such recipe, or the file is not TOML.
    """
    if name.endswith(".toml"):
        return _with_method_beside(Path(name), read_settings(Path(name), "the recipe"))
    if name not in shipped_recipes():
        raise UsageError(f'there is no recipe "{name}"; {nearest(name, shipped_recipes(), "the path of a .toml")}')
    return tomllib.loads(_PACKAGED.joinpath(f"{name}.toml").read_text(encoding="utf-8"))


def load_recipe(name: str, overrides: Sequence[str] = (), scale: str | None = None) -> Recipe:
    """Loads and validates a recipe.

    Args:
        name: a shipped recipe's name, or the path of a `.toml` file.
        overrides: settings as `dotted.key=value`, the value in TOML (a bare word is taken as a string).
        scale: name of a shipped scale, whose settings replace the recipe's where the recipe has them. The overrides
            come after it.

    Returns: an instance of the schema of its method.
    Raises: UsageError that names the recipe, the key, what was expected and the nearest known key.
    """
    settings = load_settings(name)
    if scale is not None:
        replace_known(settings, scale_settings(scale), _schema(name, settings))
    override(settings, overrides)
    return validated(name, _schema(name, settings), settings)


def scale_settings(scale: str) -> Settings:
    """The settings of a shipped scale.

    Raises: UsageError when there is none of that name.
    """
    if scale not in shipped_scales():
        raise UsageError(f'there is no scale "{scale}"; {nearest(scale, shipped_scales())}')
    return tomllib.loads(_SCALES.joinpath(f"{scale}.toml").read_text(encoding="utf-8"))


def compose(name: str, common: Mapping[str, object], own: Mapping[str, object], who: str) -> Recipe:
    """A recipe with the common settings that its method has, overridden by its own settings.

    Args:
        who: whose settings these are, for messages.

    Raises: UsageError as `load_recipe`.
    """
    settings = load_settings(name)
    schema = _schema(name, settings)
    replace_known(settings, common, schema)
    replace(settings, own)
    return validated(f"{who}: {name}", schema, settings)


def validated(name: str, model: type[Validated], settings: Mapping[str, object]) -> Validated:
    """Validates settings as a model.

    Raises: UsageError that names the recipe, the key, what was expected and the nearest known key.
    """
    try:
        return model.model_validate(settings)
    except ValidationError as error:
        raise UsageError(f"{name}: {explain(error, model)}") from error


def read_tables(overrides: Sequence[str], tables: Mapping[str, type[Validated]]) -> dict[str, Validated]:
    """Validated settings of several tables, from `table.key=value`; settings that are not named have their defaults.

    Raises: UsageError for an unknown table or key, or a wrong value.
    """
    settings: dict[str, Any] = {}
    override(settings, overrides)
    if unknown := next((name for name in settings if name not in tables), None):
        raise UsageError(f'--set: there is no table "{unknown}"; {nearest(unknown, tables)}')
    return {name: validated(f"--set {name}", model, settings.get(name, {})) for name, model in tables.items()}


def with_absolute_paths(recipe: Recipe) -> Recipe:
    """The recipe with the paths of existing local files made absolute, and the commit of datasets on the hub, so that
    it means the same from any folder and at any time.
    """
    return type(recipe).model_validate(_absolute_paths(recipe_data(recipe), type(recipe)))


def recipe_data(recipe: Recipe) -> JsonObject:
    """The recipe as plain data with every setting that has a value, named as in its file."""
    return recipe.model_dump(mode="json", exclude_none=True, by_alias=True)


def dump_recipe(recipe: Recipe) -> str:
    """The recipe as TOML with every setting written out."""
    return tomli_w.dumps(recipe_data(recipe))


def toml_names(folder: Any) -> list[str]:
    """Names of the TOML files in a packaged folder."""
    return sorted(f.name.removesuffix(".toml") for f in folder.iterdir() if f.name.endswith(".toml"))


def _schema(name: str, settings: Mapping[str, object]) -> type[Recipe]:
    """The schema for a recipe's settings.

    Raises: UsageError when they name no method, or an unknown one.
    """
    if "method" not in settings:
        raise UsageError(f'{name}: "method" is missing; {nearest("", shipped_schemas())}')
    try:
        return schema_of(str(settings["method"]))
    except UsageError as error:
        raise UsageError(f"{name}: {error}") from error


def _with_method_beside(recipe: Path, settings: Settings) -> Settings:
    """The settings, with the path of a method's file resolved beside the recipe's file if it exists there. Otherwise
    the path stays relative to the current folder.
    """
    path, colon, name = str(settings.get("method", "")).rpartition(":")
    beside = recipe.parent / path
    if path.endswith(".py") and beside.is_file():
        return settings | {"method": f"{beside}{colon}{name}"}
    return settings


def _absolute_paths(settings: dict[str, Any], schema: type[BaseModel]) -> dict[str, Any]:
    changed = dict(settings)
    for name, field in schema.model_fields.items():
        value = settings.get(name)
        marks = [mark for part in (*field.metadata, field.annotation) for mark in _marks(part)]
        if marks:
            fix = _of_rows if marks[0].of_rows else _absolute
            if value is not None:
                changed[name] = fix(value) if isinstance(value, str) else [fix(item) for item in value]
        elif isinstance(value, dict):
            for table in tables_in(field.annotation):
                changed[name] = _absolute_paths(changed[name], table)
    return changed


def _marks(annotation: Any) -> list[MayBeAPath]:
    """The marks in a field's type or metadata that say that its value may be a path."""
    if isinstance(annotation, MayBeAPath):
        return [annotation]
    return [mark for part in get_args(annotation) for mark in _marks(part)]


def _of_rows(name: str) -> str:
    return with_commit(name) if is_on_hub(name) else _absolute(name)


def _absolute(name: str) -> str:
    """An absolute path if the name has a separator or a suffix and exists; a plain name such as `embedded` is kept."""
    path, colon, attribute = name.partition(":") if ".py:" in name else (name, "", "")
    is_path = ("/" in path or "." in path) and Path(path).exists()
    return f"{Path(path).absolute()}{colon}{attribute}" if is_path else name
