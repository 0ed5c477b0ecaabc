"""Reading recipes: by name or from a file, with settings overridden, validated with messages for people."""

import tomllib
from collections.abc import Sequence
from importlib.resources import files
from pathlib import Path
from typing import Any

import tomli_w
from pydantic import ValidationError

from preceptor.core.errors import UsageError, nearest
from preceptor.core.validation import explain
from preceptor.recipes.settings import DirectRlaifRecipe

_PACKAGED = files("preceptor.recipes")


def shipped_recipes() -> list[str]:
    """Names of the recipes that ship with preceptor."""
    return sorted(f.name.removesuffix(".toml") for f in _PACKAGED.iterdir() if f.name.endswith(".toml"))


def recipe_text(name: str) -> str:
    """The text of a recipe, by the name of a shipped one or the path of a `.toml` file.

    Raises: UsageError when there is none.
    """
    if name.endswith(".toml"):
        try:
            return Path(name).read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise UsageError(f"{name}: the recipe cannot be read: {getattr(error, 'strerror', error)}") from error
    if name not in shipped_recipes():
        raise UsageError(
            f'there is no recipe "{name}"; {nearest(name, shipped_recipes())}, or give the path of a .toml'
        )
    return _PACKAGED.joinpath(f"{name}.toml").read_text(encoding="utf-8")


def load_recipe(name: str, overrides: Sequence[str] = ()) -> DirectRlaifRecipe:
    """Loads and validates a recipe.

    Args:
        name: a shipped recipe's name, or the path of a `.toml` file.
        overrides: settings as `dotted.key=value`, the value in TOML (a bare word is taken as a string).

    Raises: UsageError that names the recipe, the key, what was expected and the nearest known key.
    """
    try:
        settings: dict[str, Any] = tomllib.loads(recipe_text(name))
    except tomllib.TOMLDecodeError as error:
        raise UsageError(f"{name}: not a TOML file: {error}") from error
    for override in overrides:
        _override(settings, override)
    try:
        return DirectRlaifRecipe.model_validate(settings)
    except ValidationError as error:
        raise UsageError(f"{name}: {explain(error, DirectRlaifRecipe)}") from error


def with_absolute_paths(recipe: DirectRlaifRecipe) -> DirectRlaifRecipe:
    """The recipe with the paths of existing local files made absolute, so that it means the same from any folder."""
    judge, evaluation = recipe.judge, recipe.evaluation
    return recipe.model_copy(
        update={
            "policy": _absolute(recipe.policy),
            "prompts": _absolute(recipe.prompts),
            "judge": judge.model_copy(
                update={"model": _absolute(judge.model), "constitution": _absolute(judge.constitution)}
            ),
            "evaluation": evaluation.model_copy(update={"references": _absolute(evaluation.references)}),
        }
    )


def dump_recipe(recipe: DirectRlaifRecipe) -> str:
    """The recipe as TOML with every setting written out."""
    return tomli_w.dumps(recipe.model_dump(mode="json", exclude_none=True))


def _absolute(name: str) -> str:
    """A name with a separator or an ending is a path where it exists; `embedded` stays a name beside such a folder."""
    is_path = ("/" in name or "." in name) and Path(name).exists()
    return str(Path(name).absolute()) if is_path else name


def _override(settings: dict[str, Any], override: str) -> None:
    key, equals, text = override.partition("=")
    if not equals or not key:
        raise UsageError(f"--set {override}: expected KEY=VALUE, for instance --set rl.steps=50")
    try:
        value = tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        value = text
    *path, last = key.split(".")
    table = settings
    for part in path:
        table = table.setdefault(part, {})
        if not isinstance(table, dict):
            raise UsageError(f"--set {override}: {part} is a value, not a table of settings")
    table[last] = value
