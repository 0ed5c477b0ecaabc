"""`preceptor train reward`: pairs in, a reward model and its worth out."""

import json
from pathlib import Path
from typing import Any

import pytest

from preceptor.core.errors import UsageError
from preceptor.methods.train_reward import RewardJob, run_train_reward
from preceptor.training.processes import Processes
from preceptor.training.reward_model.model import RewardModel
from preceptor.training.reward_model.settings import RewardModelSettings
from preceptor.training.tuning import TuningSettings
from small import Told

SETTINGS = RewardModelSettings(epochs=1, batch_size=8, learning_rate=1e-3, held_out_share=0.3)


def write(path: Path, count: int, *, label: str | None = "a") -> Path:
    rows: list[dict[str, Any]] = [
        {"prompt": f"Name {i}", "response_a": f"{i} please", "response_b": f"{i}", "label": label} for i in range(count)
    ]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def job(tmp_path: Path, model: Path, **changes: Any) -> RewardJob:
    fields: dict[str, Any] = {
        "data": (write(tmp_path / "pairs.jsonl", 30),),
        "out": tmp_path / "out",
        "model": str(model),
        "settings": SETTINGS,
        "tuning": TuningSettings(rank=2, precision="fp32"),
    }
    return RewardJob(**(fields | changes))


def run(what: RewardJob) -> tuple[dict[str, Any], list[str], list[int]]:
    listener = Told()
    return run_train_reward(what, Processes(), listener), listener.notes, listener.steps


def test_a_share_is_held_out_and_the_model_loads(tmp_path: Path, tiny_folder: Path) -> None:
    summary, notes, steps = run(job(tmp_path, tiny_folder))
    assert summary["training_pairs"] + summary["held_out_pairs"] == 30
    assert summary["held_out_pairs"] > 0
    assert summary["by_source"] == {"human": summary["training_pairs"]}
    assert summary["accuracy"]["n"] == summary["held_out_pairs"]
    assert (
        notes[0]
        == f"{summary['training_pairs']} pairs to train on, {summary['held_out_pairs']} held out; 0 rows left out"
    )
    assert steps[-1] == len(steps) > 0
    assert json.loads((tmp_path / "out/summary.json").read_text()) == summary
    assert RewardModel.load(tmp_path / "out/model").identity

    again, _, no_steps = run(job(tmp_path, tiny_folder))
    assert not no_steps
    assert again["accuracy"] == summary["accuracy"]


def test_prompts_of_the_test_set_are_not_trained_on(tmp_path: Path, tiny_folder: Path) -> None:
    test = write(tmp_path / "test.jsonl", 12)
    summary, _, _ = run(job(tmp_path, tiny_folder, test=test))
    assert (summary["training_pairs"], summary["held_out_pairs"]) == (18, 12)


def test_without_a_label_there_is_nothing_to_learn(tmp_path: Path, tiny_folder: Path) -> None:
    with pytest.raises(UsageError, match=r"no labelled pair to learn; .*no label.*30"):
        run(job(tmp_path, tiny_folder, data=(write(tmp_path / "unlabelled.jsonl", 30, label=None),)))
    assert not (tmp_path / "out").exists()
