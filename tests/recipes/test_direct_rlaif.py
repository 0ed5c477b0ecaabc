"""A whole run in one process: what it writes, and what it refuses."""

import json
from pathlib import Path
from typing import Any

import pytest
from transformers import AutoModelForCausalLM

from preceptor.core.errors import CheckpointError, UsageError
from preceptor.recipes.load import load_recipe
from preceptor.recipes.run import execute
from preceptor.recipes.run_directory import RunDirectory, next_run_path
from small import Told, settings


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory, tiny_folder: Path) -> tuple[RunDirectory, dict[str, Any], Told]:
    folder = tmp_path_factory.mktemp("run")
    directory = RunDirectory.create(folder / "run", load_recipe("quickstart", settings(folder, tiny_folder)))
    told = Told()
    return directory, execute(directory, told, merge=True), told


def test_the_summary_holds_every_headline_number(finished: tuple[RunDirectory, dict[str, Any], Told]) -> None:
    directory, summary, told = finished
    assert json.loads((directory.path / "summary.json").read_text()) == summary
    assert summary["status"] == "done"
    assert summary["steps"] == 5
    assert told.steps == [1, 2, 3, 4, 5]
    assert told.measured_at == [0, 2, 4, 5]
    for key in ("wall_s", "policy", "judge", "seed", "best_checkpoint", "judge_calls", "judge_failures", "ledger_hits"):
        assert key in summary
    measures = ("judge_score", "heldout_score", "kl", "tokens_mean", "distinct_2", "reference_perplexity")
    for when in ("before", "after"):
        for measure in measures:
            estimate = summary["evaluation"][when][measure]
            assert estimate["overall"]["low"] <= estimate["overall"]["value"] <= estimate["overall"]["high"]
            assert estimate["by_cohort"]
    assert summary["evaluation"]["before"]["kl"]["overall"]["value"] == pytest.approx(0.0, abs=1e-6)
    assert summary["prompts"]["training"] + summary["prompts"]["held_out"] == 14
    assert summary["judge_calls"] > 30
    assert summary["judge_failures"] == 0


def test_the_run_directory_is_as_documented(finished: tuple[RunDirectory, dict[str, Any], Told]) -> None:
    directory, summary, _ = finished
    for name in ("recipe.toml", "ledger.sqlite", "checkpoints", "metrics.jsonl", "summary.json", "report.html"):
        assert (directory.path / name).exists()
    assert load_recipe(str(directory.path / "recipe.toml")) == directory.recipe
    assert AutoModelForCausalLM.from_pretrained(directory.path / summary["best_checkpoint"])
    assert AutoModelForCausalLM.from_pretrained(directory.merged)
    card = (directory.best / "README.md").read_text()
    assert summary["constitution"]["hash"] in card
    assert "direct RLAIF" in card
    assert "scripted:random" in card
    assert not list(directory.path.rglob("*.partial"))


def test_a_finished_run_is_not_repeated(finished: tuple[RunDirectory, dict[str, Any], Told]) -> None:
    directory, summary, _ = finished
    told = Told()
    assert execute(RunDirectory.open(directory.path), told) == summary
    assert told.steps == []
    assert told.notes == ["this run is finished already"]


def test_the_same_seed_gives_the_same_run_and_another_another(
    finished: tuple[RunDirectory, dict[str, Any], Told], tmp_path: Path, tiny_folder: Path
) -> None:
    metrics = (finished[0].path / "metrics.jsonl").read_bytes()
    for seed, equal in (("0", True), ("1", False)):
        overrides = [*settings(tmp_path, tiny_folder), f"seed={seed}"]
        directory = RunDirectory.create(tmp_path / seed, load_recipe("quickstart", overrides))
        execute(directory, Told())
        assert ((directory.path / "metrics.jsonl").read_bytes() == metrics) == equal


def test_a_directory_with_another_recipe_is_left_alone(
    finished: tuple[RunDirectory, dict[str, Any], Told], tmp_path: Path
) -> None:
    directory = finished[0]
    with pytest.raises(UsageError, match="holds a run of another recipe"):
        RunDirectory.create(directory.path, load_recipe("quickstart", ["seed=99"]))
    with pytest.raises(UsageError, match="holds this run already; go on with it"):
        RunDirectory.create(directory.path, directory.recipe)
    (tmp_path / "letter.txt").write_text("x")
    with pytest.raises(UsageError, match="is not an empty folder"):
        RunDirectory.create(tmp_path, directory.recipe)
    with pytest.raises(UsageError, match="holds no run"):
        RunDirectory.open(tmp_path)


def test_a_prompt_that_does_not_fit_is_skipped_and_counted(tmp_path: Path, tiny_folder: Path) -> None:
    overrides = settings(tmp_path, tiny_folder)
    with (tmp_path / "prompts.jsonl").open("a") as stream:
        stream.write(json.dumps({"prompt": "x" * 600}) + "\n")
    directory = RunDirectory.create(tmp_path / "run", load_recipe("quickstart", [*overrides, "rl.steps=1"]))
    told = Told()
    assert execute(directory, told)["prompts"]["skipped"] == 1
    assert told.notes[0] == "1 prompts do not fit the policy's context window and are skipped"


def test_a_failed_run_says_so_and_a_damaged_measurement_is_not_trusted(tmp_path: Path, tiny_folder: Path) -> None:
    directory = RunDirectory.create(tmp_path / "run", load_recipe("quickstart", settings(tmp_path, tiny_folder)))
    (directory.path / "evaluations" / "before.json").write_text("{}")
    with pytest.raises(CheckpointError, match=r"before\.json: is damaged"):
        execute(directory, Told())
    assert json.loads((directory.path / "summary.json").read_text())["status"] == "failed"


def test_a_run_is_held_to_the_prompts_it_began_with(tmp_path: Path, tiny_folder: Path) -> None:
    overrides = [*settings(tmp_path, tiny_folder), "rl.steps=1"]
    directory = RunDirectory.create(tmp_path / "run", load_recipe("quickstart", overrides))
    execute(directory, Told())
    (directory.path / "summary.json").unlink()
    with (tmp_path / "prompts.jsonl").open("a") as stream:
        stream.write(json.dumps({"prompt": "one more"}) + "\n")
    with pytest.raises(UsageError, match="the prompts changed since this run began"):
        execute(directory, Told())


def test_the_next_free_directory(tmp_path: Path) -> None:
    assert next_run_path(tmp_path, "q") == tmp_path / "q-1"
    (tmp_path / "q-1").mkdir()
    assert next_run_path(tmp_path, "q") == tmp_path / "q-2"
