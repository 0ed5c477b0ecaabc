"""Runs from a program: the public functions, and the judge of a program in a recipe."""

from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from preceptor.backends.connection import Connection
from preceptor.core.errors import PreceptorError, UsageError
from preceptor.judging.judge import Judge
from preceptor.judging.settings import PairwiseSettings, variant
from preceptor.judging.specs import JudgeSpec
from preceptor.methods.judge_tables import judge_table, variant_of
from preceptor.methods.run import resume, run, with_settings
from preceptor.recipes.load import load_recipe
from preceptor.runs.directory import RunDirectory
from preceptor.runs.result import RunResult, load_run
from preceptor.tasks.report import report
from preceptor.training.rl.settings import RLSettings
from small import WORDS, Told, known, settings

SMALL: dict[str, Any] = {
    "rl": {"steps": 2, "prompts_per_step": 2, "group_size": 3, "max_new_tokens": 6},
    "evaluation": {"heldout_share": 0.6, "validation_share": 0.4, "checkpoint_every": 2, "samples_per_prompt": 1},
    "tuning": {"rank": 2},
}


@pytest.fixture(scope="module")
def finished(tiny_folder: Path) -> RunResult:
    judge = Judge("scripted:random", "warm_tone")
    frame = pd.DataFrame({"prompt": [f"Say {word}" for word in WORDS]})
    return run("quickstart", policy=tiny_folder, judge=judge, prompts=frame, progress=Told(), seed=3, **SMALL)


def test_a_run_from_a_program(finished: RunResult) -> None:
    assert finished.summary.steps == 2
    assert finished.summary.seed == 3
    assert known(finished.summary.judge).startswith("scripted:random")
    assert finished.summary.prompts.training + finished.summary.prompts.held_out == len(WORDS)
    assert [row["step"] for row in finished.metrics] == [1, 2]
    assert [look.step for look in finished.curve] == [0, 2]
    assert finished.held_out_change == finished.summary.heldout_change
    assert finished.headline == finished.summary.headline
    assert finished.generate("Say ant", max_new_tokens=4) == finished.generate("Say ant", max_new_tokens=4)
    assert finished.report.exists()
    assert (Path(finished.best) / "adapter_config.json").exists()
    assert finished.base == finished.directory.recipe.policy
    assert finished.directory.recipe.prompts == str(finished.path / "prompts.jsonl")


def test_its_table_says_what_the_summary_says(finished: RunResult) -> None:
    table, text = finished.table(), " ".join(str(finished).split())
    assert [row[0] for row in table.rows][:2] == ["held-out score", finished.summary.judge_score_is]
    assert f"{finished.summary.prompts.test} test prompts" in text
    assert f"{finished.summary.judge_calls} judge calls, 0 failed" in text
    assert "<table>" in finished._repr_html_()  # pyright: ignore[reportPrivateUsage]
    assert all(warning in table.warnings or f"! {warning}" in table.notes for warning in finished.warnings)


def test_a_finished_run_is_loaded_and_resumed_as_it_is(finished: RunResult) -> None:
    told = Told()
    assert load_run(finished.path).summary == finished.summary
    assert resume(finished.path, progress=told).summary == finished.summary
    assert told.steps == []


def test_its_report_is_written_anew(finished: RunResult) -> None:
    written = finished.report.read_text()
    finished.report.unlink()
    assert report(finished.path) == finished
    assert finished.report.read_text() == written
    assert report(finished) == finished


def test_a_run_that_is_not_finished_is_not_loaded(tmp_path: Path, tiny_folder: Path) -> None:
    RunDirectory.create(tmp_path / "run", load_recipe("quickstart", settings(tmp_path, tiny_folder)))
    with pytest.raises(UsageError, match=r"not finished; resume .*preceptor\.resume"):
        load_run(tmp_path / "run")
    with pytest.raises(UsageError, match="holds no run"):
        load_run(tmp_path)


def test_a_summary_of_another_kind_is_refused_with_the_field(finished: RunResult, tmp_path: Path) -> None:
    for name in ("recipe.toml", ".preceptor.json"):
        (tmp_path / name).write_bytes((finished.path / name).read_bytes())
    (tmp_path / "summary.json").write_text('{"status": "done", "method": "RLAIF"}')
    with pytest.raises(PreceptorError, match=r'summary\.json: is damaged, or was written by .* \("wall_s" is missing'):
        load_run(tmp_path)


def test_a_mistake_writes_nothing(tmp_path: Path, tiny_folder: Path) -> None:
    with pytest.raises(UsageError, match=r'unknown key "rl\.stepps"'):
        run("quickstart", policy=tiny_folder, out=tmp_path / "run", rl={"stepps": 3})
    with pytest.raises(UsageError, match="prompts are held out; at least"):
        run("quickstart", policy=tiny_folder, prompts=["Say ant"], out=tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_settings_come_last_and_a_loaded_recipe_keeps_its_own() -> None:
    recipe = with_settings("direct_rlaif", {"judge": {"mode": "siblings"}}, "tiny", JudgeSpec(model="scripted:random"))
    table = recipe.model_dump()["judge"]
    assert (table["model"], table["constitution"], table["mode"]) == ("scripted:random", "helpful", "siblings")
    longer = with_settings(recipe, {"rl": {"steps": 77}})
    assert known(longer.table(RLSettings)).steps == 77
    assert longer.model_dump()["judge"] == table
    with pytest.raises(UsageError, match="scale"):
        with_settings(recipe, {}, "tiny")


@pytest.mark.parametrize(
    "name", ["detailed", "base+cot", "detailed+cot+sc-4+2-shot", "detailed+single+log-odds+each", "scored"]
)
def test_a_way_of_asking_has_a_short_name(name: str) -> None:
    assert variant(variant_of(variant(name))) == variant(name)


def test_what_a_recipe_cannot_say_of_a_judge_is_refused() -> None:
    recipe = load_recipe("dpo")
    odd = JudgeSpec(model="scripted:random", settings=PairwiseSettings(rationale=True, rationale_tokens=99))
    with pytest.raises(UsageError, match="cannot set rationale_tokens for a judge"):
        judge_table(odd, recipe, {})
    with pytest.raises(UsageError, match="no budget"):
        judge_table(Judge("scripted:random", budget=1.0), recipe, {})
    with pytest.raises(UsageError, match="connection"):
        judge_table(Judge("scripted:random", connection=Connection()), recipe, {})
    with pytest.raises(UsageError, match="fine-tuning has no judge"):
        judge_table("scripted:random", load_recipe("sft"), {})


def test_a_judge_that_reasons_scores_by_its_reasoning_and_compares_by_its_variant() -> None:
    judge = JudgeSpec(model="scripted:random", variant="detailed+cot")
    scoring: dict[str, Any] = judge_table(judge, load_recipe("direct_rlaif"), {})
    assert scoring["asking"]["rationale"]
    assert "variant" not in scoring
    comparing = judge_table(judge, load_recipe("dpo"), {})
    assert comparing["variant"] == "detailed+cot"
    assert "asking" not in comparing
