"""Runs of several stages that are killed (SIGKILL) again and again end as the uninterrupted ones."""

import signal
from pathlib import Path

import pytest
from safetensors.torch import load_file

from killing import calls, drive
from small import JUDGE, RL, shared

RLAIF = [
    *JUDGE, *RL, "rl.steps=3", "rl.gradient_accumulation_steps=1", "preferences.max_new_tokens=6",
    "reward_model.batch_size=4", "reward_model.held_out_share=0.3", "reward_model.save_every=1",
]  # fmt: skip
DPO = [*JUDGE, "preferences.max_new_tokens=6", "dpo.batch_size=4", "dpo.epochs=1", "dpo.gradient_accumulation_steps=1"]


@pytest.mark.parametrize(
    ("recipe", "overrides", "kills"),
    [
        ("rlaif", RLAIF, [("judge", 9), ("sync", 25), ("sync", 30), ("sync", 40)]),
        ("dpo", DPO, [("judge", 20), ("sync", 20), ("sync", 16)]),
    ],
)
def test_killed_and_resumed_equals_uninterrupted(
    tmp_path: Path, tiny_folder: Path, recipe: str, overrides: list[str], kills: list[tuple[str, int]]
) -> None:
    listed = [part for each in [*shared(tmp_path, tiny_folder), *overrides] for part in ("--set", each)]
    command, cut, whole = ["run", recipe, *listed], tmp_path / "cut", tmp_path / "whole"
    done = drive("never", 0, *command, "--out", str(whole))
    assert done.returncode == 0, done.stderr
    arguments = [*command, "--out", str(cut)]
    finished: set[int] = set()
    for kind, count in kills:
        killed = drive(kind, count, *arguments)
        assert killed.returncode == -signal.SIGKILL, killed.stderr
        finished.add(len(list((cut / "stages").glob("*.json"))))
        arguments = ["run", "--resume", str(cut)]
    assert len(finished) > 1  # in different stages
    resumed = drive("never", 0, *arguments)
    assert resumed.returncode == 0, resumed.stderr
    assert (cut / "metrics.jsonl").read_bytes() == (whole / "metrics.jsonl").read_bytes()
    assert calls(cut) == calls(whole)
    assert calls(cut / "labels") == calls(whole / "labels")
    assert (cut / "labels/preferences.jsonl").read_bytes() == (whole / "labels/preferences.jsonl").read_bytes()
    for measured in (whole / "evaluations").iterdir():
        assert (cut / "evaluations" / measured.name).read_bytes() == measured.read_bytes()
    models = [path.relative_to(whole) for path in whole.glob("reward_model/*/model/model.safetensors")]
    assert len(models) == (1 if recipe == "rlaif" else 0)
    for model in [*models, Path("checkpoints/best/adapter_model.safetensors")]:
        weights, expected = load_file(cut / model), load_file(whole / model)
        assert all((weights[name] == expected[name]).all() for name in expected)
    assert not list(cut.rglob("*.partial"))
