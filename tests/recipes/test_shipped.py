"""The list of what ships, and a recipe in Python."""

import tomllib

import pytest

import preceptor as pc


def test_recipes_are_listed_with_what_they_do() -> None:
    listed = pc.list_recipes()
    assert "reward model" in listed.recipes["rlaif"]
    assert listed.scales == ("tiny",)
    assert "rlaif" in str(listed)
    assert "tiny" in str(listed)


def test_a_recipe_is_loaded_at_a_scale_and_written_out() -> None:
    recipe = pc.load_recipe("rlaif", scale="tiny")
    assert isinstance(recipe, pc.Recipe)
    assert tomllib.loads(pc.dump_recipe(recipe))["limit"] == recipe.limit
    assert recipe != pc.load_recipe("rlaif")


def test_an_unknown_recipe_is_refused() -> None:
    with pytest.raises(pc.UsageError, match="rlaif"):
        pc.load_recipe("rlaiff")
