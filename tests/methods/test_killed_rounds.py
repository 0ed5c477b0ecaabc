"""Rounds that are killed (SIGKILL) inside a round and between two end as the uninterrupted ones."""

import signal
from pathlib import Path

from safetensors.torch import load_file

from killing import calls, drive
from preceptor.methods.execute import execute
from preceptor.recipes.load import load_recipe
from preceptor.runs.directory import RunDirectory
from rounds_small import DPO, small
from small import Told


def test_killed_rounds_equal_uninterrupted_ones(tmp_path: Path, tiny_folder: Path) -> None:
    overrides = [*small(tmp_path, tiny_folder), *DPO, "rounds.count=2", "rounds.earlier_labels=1.0"]
    cut, whole = tmp_path / "cut", tmp_path / "whole"
    execute(RunDirectory.create(whole, load_recipe("dpo", overrides)), Told())
    arguments = ["run", "dpo", *(part for each in overrides for part in ("--set", each)), "--out", str(cut)]
    for kind, count in (("load", 7), ("sync", 110)):
        killed = drive(kind, count, *arguments)
        assert killed.returncode == -signal.SIGKILL, killed.stderr
        if kind == "load":  # round 1 is finished, and its record is not
            assert (cut / "rounds/1/checkpoints/best").is_dir()
            assert not (cut / "rounds/2").exists()
        arguments = ["run", "--resume", str(cut)]
    assert (cut / "rounds/2/state").is_dir()
    assert not (cut / "rounds/2/checkpoints/best").exists()
    execute(RunDirectory.open(cut), Told())
    files = [path.relative_to(whole) for name in ("evaluations/*.json", "metrics.jsonl") for path in whole.rglob(name)]
    files += [path.relative_to(whole) for path in (*whole.glob("stages/*.json"), *whole.rglob("preferences.jsonl"))]
    assert len(files) > 12
    for file in files:
        assert (cut / file).read_bytes() == (whole / file).read_bytes(), file
    for folder in ("rounds/1/labels", "rounds/2/labels", "rounds/2", "."):
        assert calls(cut / folder) == calls(whole / folder)
    weights, expected = (load_file(run / "checkpoints/best/model.safetensors") for run in (cut, whole))
    assert all((weights[name] == expected[name]).all() for name in expected)
    assert not list(cut.rglob("*.partial"))
