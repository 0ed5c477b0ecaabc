"""A method from outside the package: run, killed, resumed and reported; and what is said of one that is wrong."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from preceptor.core.errors import UsageError
from preceptor.methods.base import Method, find_method
from preceptor.methods.execute import execute
from preceptor.recipes.base import Recipe
from preceptor.recipes.load import load_recipe, shipped_schemas
from preceptor.results.run import RunSummary
from preceptor.runs.directory import RunDirectory
from preceptor.runs.session import Session
from small import JUDGE, Told, shared

EXAMPLE = Path(__file__).parents[2] / "examples" / "own_method.toml"
SMALL = ["limit=14", "rejection.max_new_tokens=6", "fine_tuning.batch_size=4", "fine_tuning.epochs=1"]
TOY = """
from preceptor.methods.base import Method
from preceptor.recipes.base import Recipe

class ToyRecipe(Recipe):
    title = "toy"
    chooses_checkpoint = False

    def describe(self, summary):
        return ["Nothing was done."]

class Toy(Method[ToyRecipe]):
    schema = ToyRecipe
    def run(self, session, recipe):
        raise NotImplementedError

class Half(Method[ToyRecipe]):
    schema = ToyRecipe

class Bare:
    pass
"""


class Killed(Told):
    """Ends the run when a stage begins."""

    def __init__(self, at: str) -> None:
        super().__init__()
        self.at = at

    def stage(self, name: str) -> None:
        if name.startswith(self.at):
            raise KeyboardInterrupt


def rejection(folder: Path, policy: Path) -> Recipe:
    return load_recipe(str(EXAMPLE), [*shared(folder, policy), *JUDGE, *SMALL])


def test_a_method_from_a_file_runs_goes_on_where_it_was_killed_and_is_reported(
    tmp_path: Path, tiny_folder: Path
) -> None:
    recipe = rejection(tmp_path, tiny_folder)
    whole = RunDirectory.create(tmp_path / "whole", recipe)
    expected = execute(whole, Told())
    rejection_stage: dict[str, Any] = expected.own_stages["rejection"]
    kept = rejection_stage["kept"]
    assert 0 < kept < rejection_stage["responses"] == 4 * expected.prompts.training
    assert expected.fine_tuning is not None
    assert expected.fine_tuning.demonstrations == kept
    assert expected.method == "rejection sampling"

    for at in ("sampling and judging", "fine-tuning", "measuring the fine-tuned"):
        directory = RunDirectory.create(tmp_path / at, recipe)
        with pytest.raises(KeyboardInterrupt):
            execute(directory, Killed(at))
        resumed = execute(RunDirectory.open(directory.path), Told())
        assert resumed.evaluation == expected.evaluation
        assert resumed.own_stages == expected.own_stages
        for name in ("metrics.jsonl", "kept.jsonl", "evaluations/after.json"):
            assert (directory.path / name).read_bytes() == (whole.path / name).read_bytes()

    for page in (whole.report, whole.best / "README.md"):
        text = page.read_text()
        assert "a judge scored the answers" in text
        assert f"{kept} of " in text
        assert "rejection sampling" in text
    assert "own_method.py" in (whole.path / "recipe.toml").read_text()
    assert execute(RunDirectory.open(whole.path), Told(), merge=True) == expected
    assert (whole.merged / "config.json").exists()


def test_a_recipe_can_be_made_from_the_class_and_names_where_it_is(tmp_path: Path) -> None:
    recipe = OwnMethod.recipe(limit=7)
    assert recipe.method == f"{__name__}:OwnMethod"
    assert type(find_method(recipe.method)) is OwnMethod
    (tmp_path / "toy.py").write_text(TOY)
    toy = type(find_method(f"{tmp_path / 'toy.py'}:Toy"))
    assert toy.recipe().method == f"{tmp_path / 'toy.py'}:Toy"
    with pytest.raises(UsageError, match='OwnMethod: unknown key "limt"; did you mean "limit"'):
        OwnMethod.recipe(limt=7)


def test_a_method_that_changed_is_not_gone_on_with(tmp_path: Path, tiny_folder: Path) -> None:
    (tmp_path / "toy.py").write_text(TOY)
    (tmp_path / "toy.toml").write_text('method = "toy.py:Toy"\n')
    recipe = load_recipe(str(tmp_path / "toy.toml"), shared(tmp_path, tiny_folder))
    directory = RunDirectory.create(tmp_path / "run", recipe)
    with pytest.raises(NotImplementedError):
        execute(directory, Told())
    (tmp_path / "toy.py").write_text(TOY.replace("Nothing", "Little"))
    with pytest.raises(UsageError, match=r"holds a run made with other method toy\.py"):
        execute(RunDirectory.open(directory.path), Told())


@pytest.mark.parametrize(
    ("method", "message"),
    [
        ("toy.py:Nothing", r'toy\.py has no "Nothing"'),
        ("none.py:Toy", r"there is no file none\.py"),
        ("toy.py:Bare", "expected a subclass of preceptor.methods.base.Method whose `schema`"),
        ("toy.py:", r"expected package\.module:ClassName, or path/file\.py:ClassName"),
        ("dop", 'there is no method "dop"; did you mean "dpo"'),
    ],
)
def test_what_is_no_method_is_refused_when_the_recipe_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, method: str, message: str
) -> None:
    (tmp_path / "toy.py").write_text(TOY)
    (tmp_path / "recipe.toml").write_text(f'method = "{method}"\n')
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UsageError, match=message):
        load_recipe("recipe.toml")


def test_a_class_without_a_program_is_refused(tmp_path: Path) -> None:
    (tmp_path / "toy.py").write_text(TOY)
    with pytest.raises(UsageError, match="the class does not define run"):
        find_method(f"{tmp_path / 'toy.py'}:Half")


@pytest.mark.parametrize("name", shipped_schemas())
def test_every_shipped_schema_has_its_method(name: str) -> None:
    method = find_method(name)
    assert method.schema is shipped_schemas()[name]
    assert method.name() == name
    assert method.schema.title


def test_recipes_are_read_without_torch() -> None:
    code = """
import sys
from preceptor.recipes.load import load_recipe, shipped_recipes
from preceptor.runs.inputs import read_inputs
for name in shipped_recipes():
    read_inputs(load_recipe(name))
print("torch" in sys.modules)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


class OwnRecipe(Recipe):
    title = "own"


class OwnMethod(Method[OwnRecipe]):
    schema = OwnRecipe

    def run(self, session: Session, recipe: OwnRecipe) -> RunSummary:
        raise NotImplementedError
