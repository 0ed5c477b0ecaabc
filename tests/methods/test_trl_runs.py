"""Whole runs on the TRL engine that learn from rows: SFT, DPO, reward models, best of n; by a tiny random model."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from transformers import AutoModelForCausalLM

from preceptor.methods.execute import execute
from preceptor.recipes.load import load_recipe
from preceptor.results.run import RunSummary
from preceptor.runs.directory import RunDirectory
from preceptor.store.files import read_rows
from small import JUDGE, RL, Told, demonstrations, known, shared

TRL = "engine.name=trl"
CANDIDATES = ["preferences.max_new_tokens=6"]
DPO = ["dpo.batch_size=4", "dpo.epochs=1", "dpo.gradient_accumulation_steps=1"]
Run = tuple[RunDirectory, RunSummary]
Runner = Callable[..., Run]


@pytest.fixture
def run(tmp_path: Path, tiny_folder: Path) -> Runner:
    """Runs a shipped recipe, small, with overrides."""

    def runner(recipe: str, *overrides: str, name: str = "run") -> Run:
        listed = [*shared(tmp_path, tiny_folder), "tuning.precision=fp32", *overrides]
        directory = RunDirectory.create(tmp_path / name, load_recipe(recipe, listed))
        summary = execute(directory, Told(), merge=False)
        assert AutoModelForCausalLM.from_pretrained(directory.best)
        assert directory.report.is_file()
        return directory, summary

    return runner


def rows_of(directory: RunDirectory) -> list[dict[str, Any]]:
    return read_rows(directory.path / "metrics.jsonl")


def test_dpo_is_the_same_run_on_both_engines(run: Runner) -> None:
    native, of_native = run("dpo", *JUDGE, *CANDIDATES, *DPO, name="native")
    directory, summary = run("dpo", *JUDGE, *CANDIDATES, *DPO, TRL, name="trl")
    rows, expected = rows_of(directory), rows_of(native)
    assert len(rows) == len(expected) == summary.steps == of_native.steps > 1
    for row, other in zip(rows, expected, strict=True):
        assert row == pytest.approx(other, abs=1e-3, rel=1e-3)
    assert "engine" not in (native.path / "recipe.toml").read_text()
    before, after = ((directory.path / f"evaluations/{name}.json").read_text() for name in ("before", "after"))
    assert (
        json.loads(before)["responses"]
        == json.loads((native.path / "evaluations/before.json").read_text())["responses"]
    )
    assert json.loads(after)["responses"]
    assert "DPO with β = 0.1 and soft labels" in directory.report.read_text(encoding="utf-8")


def test_kto_learns_the_same_preferences(run: Runner) -> None:
    directory, summary = run("dpo", *JUDGE, *CANDIDATES, *DPO, TRL, "engine.loss_type=kto", "dpo.labels=hard")
    rows = rows_of(directory)
    assert len(rows) == summary.steps > 1
    assert rows[0]["loss"] == pytest.approx(0.5, abs=1e-3)
    assert all(row["baseline"] >= 0.0 for row in rows)
    assert "by the loss kto with" in directory.report.read_text(encoding="utf-8")


def test_rlaif_learns_its_reward_model_and_its_policy_by_trl(run: Runner) -> None:
    reward_model = ["reward_model.batch_size=4", "reward_model.epochs=1", "reward_model.held_out_share=0.3"]
    rl = ["rl.steps=2", "rl.gradient_accumulation_steps=1", "rl.algorithm=rloo", "rl.kl_in=reward"]
    directory, summary = run("rlaif", *JUDGE, *RL, *rl, *CANDIDATES, *reward_model, TRL)
    assert summary.steps == len(rows_of(directory)) == 2
    learnt = read_rows(directory.path / "reward_model/member-0/metrics.jsonl")
    assert len(learnt) == known(summary.reward_model).trained[0].steps
    assert (directory.path / "reward_model/member-0/engine/about.json").is_file()


def test_sft_is_trls_on_either_engine(run: Runner, tmp_path: Path) -> None:
    sft = ["sft.batch_size=4", "sft.epochs=1", demonstrations(tmp_path)]
    native, _ = run("sft", *sft, name="native")
    directory, summary = run("sft", *sft, TRL, name="trl")
    assert summary.steps == len(rows_of(directory)) == 4
    assert rows_of(directory) == rows_of(native)
    other, _ = run("sft", *sft, TRL, "engine.loss_type=dft", name="dft")
    assert rows_of(other)[0]["loss"] < rows_of(native)[0]["loss"]


def test_best_of_n_samples_natively_and_learns_by_trl(run: Runner) -> None:
    fine_tuning = ["fine_tuning.batch_size=4", "fine_tuning.epochs=1", "fine_tuning.gradient_accumulation_steps=1"]
    sampling = ["best_of_n.samples=3", "best_of_n.max_new_tokens=6"]
    directory, summary = run("best_of_n", *JUDGE, *sampling, *fine_tuning, TRL)
    found = known(summary.best_of_n)
    assert known(summary.fine_tuning).demonstrations == found.chosen > 0
    assert rows_of(directory)
