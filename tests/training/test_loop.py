"""Which prompts a step takes, and what the files of a run promise."""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import torch

from conftest import make_model, prompt
from preceptor.core.errors import CheckpointError, PreceptorError, UsageError
from preceptor.store.files import read_rows
from preceptor.training.files import RunFiles
from preceptor.training.policy import Policy, ResponseGroup
from preceptor.training.processes import Processes
from preceptor.training.rl.algorithm import make_algorithm
from preceptor.training.rl.loop import prompts_of_step, train
from preceptor.training.rl.settings import RLSettings, needs_values
from preceptor.training.rl.update import Updater
from preceptor.training.steps import Checkpointing, TrainingContext
from preceptor.training.tuning import TuningSettings
from small import known

PROMPTS = [prompt(text) for text in ("a", "bb", "ccc", "dddd", "eeeee")]
SETTINGS = RLSettings(steps=4, prompts_per_step=2, group_size=2, max_new_tokens=4, learning_rate=1e-2)


def lengths(groups_P: Sequence[ResponseGroup]) -> list[list[float | None]]:
    return [[float(r.tokens) - len(r.text) / 7 for r in group.responses] for group in groups_P]


def run(root: Path, settings: RLSettings = SETTINGS, stop_at: int | None = None) -> Policy:
    policy = Policy(make_model(), TuningSettings(rank=4), seed=0, values=needs_values(settings))

    def on_step(step: int, facts: object) -> None:
        if step == stop_at:
            raise KeyboardInterrupt

    train(
        policy, Updater(policy, make_algorithm(settings), settings, Processes()), lengths, PROMPTS, settings,
        TrainingContext(Checkpointing(RunFiles(root), 2, lambda step: True), 0, Processes()), on_step=on_step,
    )  # fmt: skip
    return policy


def test_every_epoch_takes_each_prompt_once_in_another_order() -> None:
    taken = [p.id for step in range(1, 6) for p in prompts_of_step(PROMPTS, step, 2, seed=0)]
    assert sorted(taken[:5]) == sorted(taken[5:]) == sorted(p.id for p in PROMPTS)
    assert taken[:5] != taken[5:]


def test_prompts_that_belong_together_are_in_one_step_of_every_epoch() -> None:
    asked = [(name, order) for order in ("ab", "ba") for name in "vwxyz"]
    prompts = [prompt(f"{n} {o}").model_copy(update={"metadata": {"together": n}}) for n, o in asked]
    steps = [prompts_of_step(prompts, step, 4, seed=0) for step in range(1, 11)]
    assert all(n % 2 == 0 for step in steps for n in Counter(p.together for p in step).values())
    firsts = [p.together for step in steps for p in step][::2]
    assert [sorted(known(each) for each in firsts[start : start + 5]) for start in (0, 5, 10, 15)] == [[*"vwxyz"]] * 4
    assert firsts[:5] != firsts[5:10]


@pytest.mark.parametrize(
    "more",
    [
        {"algorithm": "rloo"},
        {"algorithm": "reinforce", "kl_target": 0.01},
        {"algorithm": "reinforce", "baseline": "value", "optimizer": "adafactor"},
        {"algorithm": "grpo", "kl_in": "loss", "kl_target": 0.01, "schedule": "cosine", "warmup_steps": 1},
        {"algorithm": "ppo", "epochs_per_batch": 2, "minibatches": 2},
        {"algorithm": "online_dpo"},
    ],
    ids=str,
)
def test_interrupted_between_steps_equals_uninterrupted(tmp_path: Path, more: dict[str, Any]) -> None:
    settings = SETTINGS.model_copy(update=more)
    whole = run(tmp_path / "whole", settings)
    for stop in (1, 2, 3):
        with pytest.raises(KeyboardInterrupt):
            run(tmp_path / "cut", settings, stop_at=stop)
    resumed = run(tmp_path / "cut", settings)
    assert (tmp_path / "whole/metrics.jsonl").read_bytes() == (tmp_path / "cut/metrics.jsonl").read_bytes()
    assert all(torch.equal(a, b) for a, b in zip(whole.trainable, resumed.trainable, strict=True))
    assert [p.name for p in sorted((tmp_path / "cut/checkpoints").iterdir())] == [
        "step-000000", "step-000002", "step-000004",
    ]  # fmt: skip
    assert [p.name for p in (tmp_path / "cut/state").iterdir()] == ["step-000004"]
    assert len(read_rows(tmp_path / "cut/timings.jsonl")) == 4
    betas = {str(row["kl_coefficient"]) for row in read_rows(tmp_path / "cut/metrics.jsonl")}
    assert len(betas) == (4 if "kl_target" in more else 1)


def test_a_row_lost_or_cut_after_its_state_was_written_is_restored(tmp_path: Path) -> None:
    run(tmp_path)
    metrics = tmp_path / "metrics.jsonl"
    complete = metrics.read_text()
    metrics.write_text(complete[:-20])
    run(tmp_path)
    assert metrics.read_text() == complete


def test_rows_missing_in_the_middle_are_not_made_up(tmp_path: Path) -> None:
    run(tmp_path)
    metrics = tmp_path / "metrics.jsonl"
    metrics.write_text("".join(metrics.read_text().splitlines(keepends=True)[2:]))
    with pytest.raises(CheckpointError, match="rows are missing before step 4"):
        run(tmp_path)


@pytest.mark.parametrize("folder", ["state/step-000004", "checkpoints/step-000004"])
def test_a_truncated_checkpoint_is_refused(tmp_path: Path, folder: str) -> None:
    run(tmp_path)
    [weights] = (tmp_path / folder).glob("*.safetensors")
    weights.write_bytes(weights.read_bytes()[:-100])
    with pytest.raises(CheckpointError, match=r".*\.safetensors: has \d+ bytes, expected"):
        run(tmp_path)


def test_a_full_disk_leaves_the_last_state_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path, stop_at=2)

    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(torch, "save", full)
        with pytest.raises(PreceptorError, match=r"step-000003: cannot be written.*No space left"):
            run(tmp_path)
    assert [p.name for p in (tmp_path / "state").iterdir()] == ["step-000002"]
    whole = run(tmp_path / "whole")
    resumed = run(tmp_path)
    assert all(torch.equal(a, b) for a, b in zip(whole.trainable, resumed.trainable, strict=True))


def test_too_few_prompts_for_a_step(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"5 training prompts, rl\.prompts_per_step asks for 6"):
        run(tmp_path, SETTINGS.model_copy(update={"prompts_per_step": 6}))
