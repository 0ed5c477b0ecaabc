"""Recipes: what ships is valid, what is wrong is said."""

import tomllib
from pathlib import Path

import pytest

from preceptor.core.errors import UsageError
from preceptor.recipes.load import dump_recipe, load_recipe, recipe_text, shipped_recipes


@pytest.mark.parametrize("name", shipped_recipes())
def test_a_shipped_recipe_is_valid_short_and_described(name: str) -> None:
    recipe = load_recipe(name)
    assert recipe.description
    settings = tomllib.loads(recipe_text(name))

    def count(table: dict[str, object]) -> int:
        return sum(count(v) if isinstance(v, dict) else 1 for v in table.values())  # type: ignore[arg-type]

    assert count(settings) <= 15


def test_the_resolved_recipe_is_the_same_recipe(tmp_path: Path) -> None:
    recipe = load_recipe("quickstart", ["seed=7", "rl.algorithm=reinforce", "judge.model=scripted:random"])
    assert (recipe.seed, recipe.rl.algorithm, recipe.judge.model) == (7, "reinforce", "scripted:random")
    path = tmp_path / "recipe.toml"
    path.write_text(dump_recipe(recipe))
    assert load_recipe(str(path)) == recipe


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["rl.step=5"], r'quickstart: unknown key "rl\.step"; did you mean "steps"\?'),
        (["polcy=x"], r'unknown key "polcy"; did you mean "policy"\?'),
        (["evaluation.bounds.max_kll=1"], r'did you mean "max_kl"\?'),
        (["rl.steps=many"], r"rl\.steps = 'many': input should be a valid integer"),
        (["rl.steps=0"], r"rl\.steps = 0: input should be greater than or equal to 1"),
        (["rl.algorithm=rlo"], r"rl\.algorithm = 'rlo': input should be 'reinforce' or 'rloo'"),
        (["rl.temperature=0"], r"rl\.temperature = 0"),
        (["rl"], "expected KEY=VALUE"),
        (["seed.x=1"], "seed is a value, not a table"),
    ],
)
def test_a_wrong_setting_is_named(overrides: list[str], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        load_recipe("quickstart", ["seed=0", *overrides])


def test_an_unknown_recipe_and_a_broken_file(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r'there is no recipe "quickstar"; did you mean "quickstart"\?'):
        load_recipe("quickstar")
    with pytest.raises(UsageError, match="cannot be read: No such file"):
        load_recipe(str(tmp_path / "none.toml"))
    (tmp_path / "r.toml").write_text("a = = 1")
    with pytest.raises(UsageError, match=r"r\.toml: not a TOML file"):
        load_recipe(str(tmp_path / "r.toml"))
    (tmp_path / "r.toml").write_text("seed = 1")
    with pytest.raises(UsageError, match='"method" is missing'):
        load_recipe(str(tmp_path / "r.toml"))
