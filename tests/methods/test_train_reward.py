"""`preceptor train reward`: pairs in, a reward model and its worth out."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from preceptor.core.errors import UsageError
from preceptor.methods.train_reward import train_reward
from preceptor.results.reward_model import RewardModelResult
from preceptor.training.reward_model.model import RewardModel
from preceptor.training.reward_model.settings import RewardModelSettings
from small import Told, known

SETTINGS = RewardModelSettings(epochs=1, batch_size=8, learning_rate=1e-3, held_out_share=0.3)


def write(path: Path, count: int, *, label: str | None = "a") -> Path:
    rows: list[dict[str, Any]] = [
        {"prompt": f"Name {i}", "response_a": f"{i} please", "response_b": f"{i}", "label": label} for i in range(count)
    ]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def run(tmp_path: Path, model: Path, **changes: Any) -> tuple[RewardModelResult, Told]:
    listener = Told()
    settings: dict[str, Any] = {
        "data": write(tmp_path / "pairs.jsonl", 30), "out": tmp_path / "out", "model": model,
        "reward_model": SETTINGS, "tuning": {"rank": 2, "precision": "fp32"},
    }  # fmt: skip
    return train_reward(**(settings | changes), progress=listener), listener


def test_a_share_is_held_out_and_the_model_loads(tmp_path: Path, tiny_folder: Path) -> None:
    result, told = run(tmp_path, tiny_folder)
    assert result.training_pairs + result.held_out_pairs == 30
    assert result.held_out_pairs > 0
    assert result.by_source == {"human": result.training_pairs}
    assert known(result.accuracy).n == result.held_out_pairs
    assert told.notes[0].startswith(f"{result.training_pairs} pairs to train on, {result.held_out_pairs} held out")
    assert told.steps[-1] == len(told.steps) > 0
    assert json.loads((tmp_path / "out/summary.json").read_text()) == result.model_dump(mode="json")
    assert RewardModelResult.load(tmp_path / "out") == result
    assert RewardModel.load(result.folder).identity

    again, told_again = run(tmp_path, tiny_folder)
    assert not told_again.steps
    assert again.accuracy == result.accuracy


def test_rows_of_a_program_are_learnt_in_a_temporary_folder(tmp_path: Path, tiny_folder: Path) -> None:
    rows = [json.loads(line) for line in write(tmp_path / "pairs.jsonl", 30).read_text().splitlines()]
    result, _ = run(tmp_path, tiny_folder, data=rows, out=None)
    assert result.training_pairs + result.held_out_pairs == 30
    assert not result.path.is_relative_to(tmp_path)
    assert result.folder.is_dir()
    assert f"{result.training_pairs} (soft labels)" in str(result)


def test_prompts_of_the_test_set_are_not_trained_on(tmp_path: Path, tiny_folder: Path) -> None:
    test = write(tmp_path / "test.jsonl", 12)
    result, _ = run(tmp_path, tiny_folder, test=test)
    assert (result.training_pairs, result.held_out_pairs) == (18, 12)


def test_without_a_label_there_is_nothing_to_learn(tmp_path: Path, tiny_folder: Path) -> None:
    with pytest.raises(UsageError, match=r"no labelled pair to learn from: .*no label.*30"):
        run(tmp_path, tiny_folder, data=write(tmp_path / "unlabelled.jsonl", 30, label=None))
    assert not (tmp_path / "out").exists()


def test_a_soup_without_length(tmp_path: Path, tiny_folder: Path) -> None:
    """The chosen response is always the longer one, so length says all, and nothing once it is taken out."""
    settings = SETTINGS.model_copy(update={"members": 2, "combine": "soup", "length_debiased": True})
    result, told = run(tmp_path, tiny_folder, reward_model=settings)
    assert result.length_correlation is not None
    assert "soup of (" in result.model
    assert len(told.steps) == 2 * told.steps[-1]
    assert "length taken out" in (result.folder / "README.md").read_text()
    members = [RewardModel.load(result.path / "members" / str(n) / "model", torch.float32) for n in range(2)]
    soup = RewardModel.load(result.folder, torch.float32)
    layer = next(name for name in soup.model.state_dict() if name.endswith("mlp.up_proj.weight"))
    mean = sum(member.model.state_dict()[layer] for member in members) / 2
    assert torch.allclose(soup.model.state_dict()[layer], torch.as_tensor(mean), atol=1e-6)
    again, told_again = run(tmp_path, tiny_folder, reward_model=settings)
    assert not told_again.steps
    assert again.length_correlation == result.length_correlation
    with pytest.raises(UsageError, match="soup of several"):
        run(tmp_path, tiny_folder, reward_model=SETTINGS.model_copy(update={"members": 2}))
