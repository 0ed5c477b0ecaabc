"""Training a reward model: that it learns, that it can be killed, and what it refuses."""

import os
import random
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import torch

from conftest import prompt
from preceptor.core.errors import PreceptorError, UsageError
from preceptor.core.types import Response
from preceptor.store.files import read_rows
from preceptor.store.training_pairs import TrainingPair, hard, split
from preceptor.training.processes import Processes
from preceptor.training.reward_model.encoding import NoReward
from preceptor.training.reward_model.model import RewardModel
from preceptor.training.reward_model.settings import RewardModelSettings
from preceptor.training.reward_model.train import RewardStepFacts, RewardTraining, encode_pairs, train_reward_model
from preceptor.training.tuning import TuningSettings

SETTINGS = RewardModelSettings(epochs=2, batch_size=4, learning_rate=1e-3, max_length=128, save_every=2)


def pair(asked: str, chosen: str, rejected: str, p_chosen: float = 1.0, weight: float = 1.0) -> TrainingPair:
    to = prompt(asked)
    first, second = (Response(prompt_id=to.id, text=text) for text in (chosen, rejected))
    return TrainingPair(f"{asked}-{chosen}", to, first, second, p_chosen, weight, "ai")


PAIRS = [pair(f"q{i}", "good" * (i % 3 + 1), "bad" * (i % 4 + 1), 0.6 + 0.04 * i, 1.0 + i % 2) for i in range(10)]


def make(folder: Path, method: str = "lora", seed: int = 0, **settings: Any) -> RewardModel:
    tuning = TuningSettings.model_validate({"method": method, "rank": 4, "precision": "fp32"} | settings)
    return RewardModel.from_language_model(str(folder), tuning, seed, max_length=SETTINGS.max_length)


def train(
    model: RewardModel,
    root: Path,
    pairs: Sequence[TrainingPair] = PAIRS,
    settings: RewardModelSettings = SETTINGS,
    stop_at: int | None = None,
) -> RewardTraining:
    def on_step(step: int, total: int, facts: RewardStepFacts) -> None:
        if step == stop_at:
            raise KeyboardInterrupt

    return train_reward_model(model, pairs, settings, root=root, seed=0, processes=Processes(), on_step=on_step)


def accuracy(model: RewardModel, pairs: Sequence[TrainingPair]) -> float:
    chosen, rejected = ([(p.prompt, getattr(p, side)) for p in pairs] for side in ("chosen", "rejected"))
    scores = zip(model.score(chosen), model.score(rejected), strict=True)
    return sum(not isinstance(c, NoReward) and not isinstance(r, NoReward) and c > r for c, r in scores) / len(pairs)


def test_a_planted_preference_is_learned(tiny_folder: Path, tmp_path: Path) -> None:
    draw = random.Random(0)

    def text(letters: str) -> str:
        return "".join(draw.choice(letters) for _ in range(6))

    planted = [pair(f"q{i}", text("abcdez"), text("abcde"), 0.9) for i in range(300)]
    training, held_out = split([p for p in planted if "z" in p.chosen.text], 0.2)
    model = make(tiny_folder, "full")
    before = accuracy(model, held_out)
    settings = SETTINGS.model_copy(update={"epochs": 3, "batch_size": 16, "learning_rate": 3e-3})
    train(model, tmp_path, training, settings)
    assert len(held_out) > 25
    assert before < 0.75
    assert accuracy(model, held_out) >= 0.9
    rows: list[dict[str, Any]] = read_rows(tmp_path / "metrics.jsonl")
    assert rows[-1]["loss"] < 0.75 * rows[0]["loss"]


@pytest.mark.parametrize("method", ["lora", "full"])
def test_interrupted_between_steps_equals_uninterrupted(tiny_folder: Path, tmp_path: Path, method: str) -> None:
    whole = make(tiny_folder, method)
    assert train(whole, tmp_path / "whole") == RewardTraining(6, 10, {})
    for stop in (1, 2, 3, 5):  # states are saved after steps 2, 3 (an epoch's end), 4 and 6
        with pytest.raises(KeyboardInterrupt):
            train(make(tiny_folder, method), tmp_path / "cut", stop_at=stop)
    resumed = make(tiny_folder, method)
    train(resumed, tmp_path / "cut")
    assert (tmp_path / "whole/metrics.jsonl").read_bytes() == (tmp_path / "cut/metrics.jsonl").read_bytes()
    for name, weight in whole.weights().items():
        assert torch.equal(weight, resumed.weights()[name]), name
    assert resumed.identity == whole.identity
    assert [folder.name for folder in (tmp_path / "cut/state").iterdir()] == ["step-000006"]
    assert train(resumed, tmp_path / "cut") == RewardTraining(6, 10, {})  # nothing is left to do


def test_every_epoch_sees_every_pair_in_another_order(tiny_folder: Path, tmp_path: Path) -> None:
    seen: list[list[int]] = []

    class Watched(RewardModel):
        def rewards(self, texts_N: Sequence[Sequence[int]]) -> torch.Tensor:
            seen.append([hash(tuple(ids)) for ids in texts_N[::2]])  # chosen and rejected by turns
            return super().rewards(texts_N)

    base = make(tiny_folder)
    model = Watched(base.model, base.tokenizer, "watched", max_length=128)
    pairs = [pair(f"q{i}", "a", "b") for i in range(10)]
    train(model, tmp_path, pairs)
    order = [text for part in seen for text in part]
    assert len(order) == 20
    assert set(order[:10]) == set(order[10:])
    assert order[:10] != order[10:]


def test_the_first_row_by_hand(tiny_folder: Path, tmp_path: Path) -> None:
    model = make(tiny_folder)
    sides = [[(p.prompt, getattr(p, side)) for p in PAIRS] for side in ("chosen", "rejected")]
    chosen, rejected = (
        torch.tensor([float(s) for s in model.score(side) if not isinstance(s, NoReward)]) for side in sides
    )
    settings = SETTINGS.model_copy(
        update={"batch_size": 10, "center_coefficient": 0.5, "gradient_accumulation_steps": 3}
    )
    train(model, tmp_path, settings=settings)
    row: dict[str, Any] = read_rows(tmp_path / "metrics.jsonl")[0]
    p, weight = (torch.tensor([getattr(each, name) for each in PAIRS]) for name in ("p_chosen", "weight"))
    wins = torch.sigmoid(chosen - rejected)
    losses = weight * (-(p * wins.log() + (1 - p) * (1 - wins).log()) + 0.5 * (chosen + rejected) ** 2)
    assert row["loss"] == pytest.approx(float(losses.mean()), abs=1e-5, rel=1e-5)
    assert row["margin"] == pytest.approx(float((chosen - rejected).mean()), abs=1e-5, rel=1e-5)
    assert row["reward"] == pytest.approx(float((chosen + rejected).mean()) / 2, abs=1e-5, rel=1e-5)
    assert row["accuracy"] == float((chosen > rejected).float().mean())
    assert (row["step"], row["epoch"], row["learning_rate"]) == (1, 1, 1e-3)
    assert row["grad_norm"] > 0.0


def test_accumulating_gradients_gives_the_same_update(tiny_folder: Path, tmp_path: Path) -> None:
    models = [make(tiny_folder), make(tiny_folder)]
    for parts, model in zip((1, 3), models, strict=True):
        train(model, tmp_path / str(parts), settings=SETTINGS.model_copy(update={"gradient_accumulation_steps": parts}))
    one, other = (read_rows(tmp_path / name / "metrics.jsonl") for name in ("1", "3"))
    assert [row["loss"] for row in one] == pytest.approx([row["loss"] for row in other], abs=1e-5, rel=1e-5)
    assert [row["grad_norm"] for row in one] == pytest.approx([row["grad_norm"] for row in other], abs=1e-4)


def test_what_cannot_be_learned_from_is_left_out_and_counted(tiny_folder: Path) -> None:
    model = make(tiny_folder)
    empty = pair("e", "fine", "")
    pairs = [*PAIRS, pair("l", "x" * 200, "a"), pair("s", "same", "same"), pair("t", "a", "b", 0.5), empty]
    encoded, left_out = encode_pairs(model, pairs, SETTINGS)
    assert left_out == {"more than 128 tokens": 1, "both texts are the same to the model": 1}
    assert len(encoded) == 12
    encoded, left_out = encode_pairs(model, pairs, SETTINGS.model_copy(update={"labels": "hard"}))
    assert left_out["a tie, which has no hard label"] == 1
    assert {each.p_chosen for each in encoded} == {1.0}
    assert len(hard(pairs)) == 13


@pytest.mark.parametrize(
    ("pairs", "labels", "message"),
    [
        (
            [pair("t", "a", "b", 0.5), pair("u", "a", "b", 0.5)],
            "soft",
            r"of 2 training pairs every label is a tie \(0.5\)",
        ),
        ([pair("t", "a", "b", 0.5)], "hard", "no pair is left; left out: 1 times a tie"),
        ([pair("t", "a", "a")], "soft", "no pair is left; left out: 1 times both texts are the same"),
        ([], "soft", "of 0 training pairs no pair is left"),
    ],
)
def test_nothing_to_learn(
    tiny_folder: Path, tmp_path: Path, pairs: list[TrainingPair], labels: str, message: str
) -> None:
    with pytest.raises(UsageError, match=message):
        train(make(tiny_folder), tmp_path, pairs, SETTINGS.model_copy(update={"labels": labels}))


def test_divergence_is_said(tiny_folder: Path, tmp_path: Path) -> None:
    model = make(tiny_folder)
    model.trainable[-1].data.fill_(float("nan"))
    with pytest.raises(PreceptorError, match="diverged at step 1 of the reward model"):
        train(model, tmp_path)


def test_the_state_of_another_training_is_refused(tiny_folder: Path, tmp_path: Path) -> None:
    train(make(tiny_folder), tmp_path)
    for pairs, settings in ((PAIRS[1:], SETTINGS), (PAIRS, SETTINGS.model_copy(update={"learning_rate": 1e-4}))):
        with pytest.raises(UsageError, match="another folder"):
            train(make(tiny_folder), tmp_path, pairs, settings)


def test_settings() -> None:
    assert RewardModelSettings(members=3, pessimism=1.0).pessimism == 1.0
    with pytest.raises(ValueError, match="needs members = 2 or more"):
        RewardModelSettings(pessimism=0.5)


SCRIPT = """
import sys
from pathlib import Path

from accelerate import PartialState

PartialState(cpu=True)  # without it accelerate takes several processes without a GPU for one each

from test_reward_training import PAIRS, SETTINGS, make
from preceptor.training.processes import Processes, leave
from preceptor.training.reward_model.train import train_reward_model

processes, told = Processes(), []
settings = SETTINGS.model_copy(update={"batch_size": 3})  # the last batch is one pair: a process has none of it
train_reward_model(
    make(Path(sys.argv[1])), PAIRS, settings, root=Path(sys.argv[2]), seed=0, processes=processes,
    on_step=lambda step, total, facts: told.append(step),
)
Path(sys.argv[2], f"told-{processes.index}-of-{processes.count}").write_text(str(len(told)))
leave()
"""


def test_two_processes_train_as_one_does(tiny_folder: Path, tmp_path: Path) -> None:
    script, root = tmp_path / "script.py", tmp_path / "two"
    script.write_text(SCRIPT)
    here = Path(__file__).parent
    paths = os.pathsep.join([str(here), str(here.parent), *sys.path])
    done = subprocess.run(
        [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node=2",
         str(script), str(tiny_folder), str(root)],
        capture_output=True, text=True, check=False, timeout=300,
        env=os.environ | {"ACCELERATE_USE_CPU": "true", "PYTHONPATH": paths, "OMP_NUM_THREADS": "1"},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    assert {file.name: file.read_text() for file in root.glob("told-*")} == {"told-0-of-2": "8", "told-1-of-2": "0"}
    train(make(tiny_folder), tmp_path / "one", settings=SETTINGS.model_copy(update={"batch_size": 3}))
    one, two = (read_rows(tmp_path / name / "metrics.jsonl") for name in ("one", "two"))
    assert len(one) == 8
    for alone, together in zip(one, two, strict=True):
        assert together == pytest.approx(alone, rel=1e-3, abs=1e-4)
