"""Where a model comes from, by the runs whose folders it and its bases are in."""

from pathlib import Path

from preceptor.recipes.load import dump_recipe, load_recipe
from preceptor.runs.lineage import origin_of
from preceptor.store.files import write_text


def run_in(folder: Path, policy: str, judge: str) -> Path:
    """The chosen checkpoint of a run, as far as its lineage is told by the recipe."""
    checkpoint = folder / "checkpoints" / "step-2"
    checkpoint.mkdir(parents=True)
    recipe = load_recipe("direct_rlaif", [f"policy={policy}", f"judge.model={judge}"])
    write_text(folder / "recipe.toml", dump_recipe(recipe))
    return checkpoint


def test_a_checkpoint_comes_from_the_bases_and_judges_of_its_runs(tmp_path: Path) -> None:
    first = run_in(tmp_path / "first", "embedded", "scripted:random")
    second = run_in(tmp_path / "second", str(first), "scripted:first")
    origin = origin_of(str(second), "tuned#0")
    assert origin.trained_from == (str(first), "embedded")
    assert origin.taught_by == ("scripted:first", "scripted:random")
    assert origin.identity == "tuned#0"
    assert origin.families == {"SmolLM"}
    assert origin_of(str(tmp_path / "second")).trained_from == origin.trained_from


def test_a_model_outside_of_runs_has_no_known_lineage() -> None:
    assert (origin_of("embedded").trained_from, origin_of("embedded").taught_by) == ((), ())
