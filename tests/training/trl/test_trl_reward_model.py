"""Reward models by TRL's trainer: the steps are the native engine's, and a killed training resumes."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import torch

from conftest import prompt
from preceptor.core.errors import PreceptorError, UsageError
from preceptor.core.types import Response
from preceptor.methods.train_reward import train_reward
from preceptor.results.reward_model import RewardModelResult
from preceptor.store.files import read_rows
from preceptor.store.training_pairs import TrainingPair
from preceptor.training.processes import Processes
from preceptor.training.reward_model.model import RewardHead, RewardModel
from preceptor.training.reward_model.settings import RewardModelSettings
from preceptor.training.reward_model.train import RewardStepFacts, RewardTraining, train_reward_model
from preceptor.training.trl.reward_model import train_reward_model_on_trl
from preceptor.training.tuning import TuningSettings

SETTINGS = RewardModelSettings(
    epochs=2, batch_size=4, learning_rate=1e-3, max_length=128, save_every=2, center_coefficient=0.05
)


def pair(index: int) -> TrainingPair:
    to = prompt(f"q{index}<|im_end|>")
    texts = ("good" * (index % 3 + 1), "bad" * (index % 4 + 1))
    first, second = (Response(prompt_id=to.id, text=text) for text in texts)
    return TrainingPair(f"{index}", to, first, second, 0.6 + 0.04 * index, 1.0 + index % 2, "ai")


PAIRS = [pair(i) for i in range(10)]


def tuning_of(method: str) -> TuningSettings:
    return TuningSettings.model_validate({"method": method, "rank": 4, "precision": "fp32"})


def make(folder: Path, method: str = "lora") -> RewardModel:
    return RewardModel.from_language_model(str(folder), tuning_of(method), 0, max_length=SETTINGS.max_length)


def train(
    model: RewardModel,
    root: Path,
    method: str = "lora",
    pairs: Sequence[TrainingPair] = PAIRS,
    stop_at: int = 0,
    settings: RewardModelSettings = SETTINGS,
) -> tuple[RewardTraining, list[dict[str, Any]]]:
    def on_step(step: int, total: int, facts: RewardStepFacts) -> None:
        if step == stop_at:
            raise KeyboardInterrupt

    trained = train_reward_model_on_trl(
        model, pairs, settings, tuning_of(method), {}, root=root, seed=0, processes=Processes(), on_step=on_step
    )
    return trained, read_rows(root / "metrics.jsonl")


@pytest.mark.parametrize(("method", "parts"), [("lora", 4), ("full", 1)])
def test_both_engines_take_the_same_steps(tiny_folder: Path, tmp_path: Path, method: str, parts: int) -> None:
    settings = SETTINGS.model_copy(update={"gradient_accumulation_steps": parts})
    native, model = make(tiny_folder, method), make(tiny_folder, method)
    told = train_reward_model(native, PAIRS, settings, root=tmp_path / "native", seed=0, processes=Processes())
    expected: list[dict[str, Any]] = read_rows(tmp_path / "native/metrics.jsonl")
    trained, rows = train(model, tmp_path / "trl", method, settings=settings)
    assert trained == told
    assert len(rows) == len(expected) == 6
    for row, facts in zip(rows, expected, strict=True):
        assert row == pytest.approx(facts, abs=1e-4, rel=1e-4)
    assert abs(rows[0]["loss"] - expected[0]["loss"]) < 1e-5
    for name, weight in native.weights().items():
        torch.testing.assert_close(model.weights()[name], weight, atol=1e-3, rtol=0.0)
    items = [(each.prompt, each.chosen) for each in PAIRS]
    assert model.score(items) == pytest.approx(native.score(items), abs=1e-2)
    assert model.identity == native.identity


def test_a_killed_training_continues(tiny_folder: Path, tmp_path: Path) -> None:
    whole = make(tiny_folder)
    _, rows = train(whole, tmp_path / "whole")
    for stop in (1, 3, 5):
        with pytest.raises(KeyboardInterrupt):
            train(make(tiny_folder), tmp_path / "cut", stop_at=stop)
    resumed = make(tiny_folder)
    assert train(resumed, tmp_path / "cut")[1] == rows
    assert [folder.name for folder in (tmp_path / "cut/engine").glob("checkpoint-*")] == ["checkpoint-6"]
    finished = make(tiny_folder)
    assert train(finished, tmp_path / "cut")[1] == rows  # nothing is left to do
    for model in (resumed, finished):
        for name, weight in whole.weights().items():
            assert torch.equal(model.weights()[name], weight), name
    with pytest.raises(UsageError, match="another folder"):
        train(make(tiny_folder), tmp_path / "cut", pairs=PAIRS[1:])


def test_the_engines_do_not_continue_each_other(tiny_folder: Path, tmp_path: Path) -> None:
    train_reward_model(make(tiny_folder), PAIRS, SETTINGS, root=tmp_path, seed=0, processes=Processes())
    with pytest.raises(UsageError, match="or engine"):
        train(make(tiny_folder), tmp_path)


def test_divergence_is_said(tiny_folder: Path, tmp_path: Path) -> None:
    model = make(tiny_folder)
    model.trainable[-1].data.fill_(float("nan"))
    with pytest.raises(PreceptorError, match="diverged at step 1 of the reward model"):
        train(model, tmp_path)


def test_a_reward_model_by_itself(tiny_folder: Path, tmp_path: Path) -> None:
    rows = [{"prompt": f"q{i}", "response_a": "good", "response_b": "bad", "label": "a"} for i in range(8)]
    settings = {"epochs": 1, "batch_size": 4, "held_out_share": 0.4}
    tuning, engine = {"rank": 2, "precision": "fp32"}, {"name": "trl"}
    how: dict[str, Any] = {"model": tiny_folder, "reward_model": settings, "tuning": tuning}
    result = train_reward(rows, out=tmp_path / "out", engine=engine, **how)
    native = train_reward(rows, out=tmp_path / "native", **how)
    assert RewardModelResult.load(tmp_path / "out").engine.is_trl
    assert "engine" not in (tmp_path / "native/summary.json").read_text()
    assert result.training_pairs == native.training_pairs
    assert (tmp_path / "out/model/manifest.json").exists()
    with pytest.raises(UsageError, match=r"reward_model\.center_coefficient"):
        train_reward(rows, engine={**engine, "trl": {"center_rewards_coefficient": 0.1}}, **how)


def test_rewards_are_computed_in_fp32_where_the_rest_is_not() -> None:
    torch.manual_seed(0)
    head, hidden_NH = RewardHead(8, 1, bias=False), torch.randn(3, 8).bfloat16()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        rewards_N1 = head(hidden_NH)
    assert torch.equal(rewards_N1, hidden_NH.float() @ head.weight.T)
