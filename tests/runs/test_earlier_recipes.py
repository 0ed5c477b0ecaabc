"""A run that an earlier version began goes on, although recipes have settings that came later."""

from pathlib import Path

import pytest

from preceptor.core.errors import UsageError
from preceptor.core.hashing import content_hash
from preceptor.recipes.load import dump_recipe, load_recipe
from preceptor.runs.directory import RunDirectory
from preceptor.store.files import write_json


def test_a_setting_that_came_later_is_no_other_recipe(tmp_path: Path) -> None:
    folder = RunDirectory.create(tmp_path / "run", load_recipe("quickstart")).path
    file = folder / "recipe.toml"
    earlier = file.read_text(encoding="utf-8").replace('design = "all"\n', "")
    file.write_text(earlier, encoding="utf-8")
    write_json(folder / "inputs.json", {"recipe": content_hash(earlier)[:16]})
    directory = RunDirectory.open(folder)
    assert dump_recipe(directory.recipe) != earlier
    directory.check_resumable()
    file.write_text(earlier.replace("seed = 0", "seed = 1"), encoding="utf-8")
    with pytest.raises(UsageError, match="holds a run made with other recipe"):
        RunDirectory.open(folder).check_resumable()


def test_only_what_a_recipe_says_counts(tmp_path: Path) -> None:
    directory = RunDirectory.create(tmp_path / "run", load_recipe("quickstart"))
    write_json(directory.path / "inputs.json", {"recipe": content_hash(dump_recipe(directory.recipe))[:16]})
    file = directory.path / "recipe.toml"
    file.write_text("# a remark\n" + file.read_text(encoding="utf-8"), encoding="utf-8")
    RunDirectory.open(directory.path).check_resumable()
