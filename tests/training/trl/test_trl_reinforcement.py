"""RL by TRL's trainers in whole runs: the same rewards, steps, rows and checkpoints as the native engine."""

from pathlib import Path

import pytest

from preceptor.methods.execute import execute
from preceptor.recipes.load import load_recipe
from preceptor.results.run import RunSummary
from preceptor.runs.directory import RunDirectory
from small import Told, settings

TRL = "engine.name=trl"
GRPO = ["rl.algorithm=grpo", "rl.kl_in=loss"]


def ran(folder: Path, policy: Path, *more: str, name: str = "run") -> tuple[RunDirectory, RunSummary, Told]:
    told = Told()
    folder.mkdir(exist_ok=True)
    directory = RunDirectory.create(folder / name, load_recipe("quickstart", [*settings(folder, policy), *more]))
    return directory, execute(directory, told), told


@pytest.mark.parametrize("more", [[], GRPO, ["tuning.method=full"]], ids=["rloo", "grpo", "full"])
def test_a_run_on_trl_is_whole(tiny_folder: Path, tmp_path: Path, more: list[str]) -> None:
    directory, summary, told = ran(tmp_path, tiny_folder, TRL, *more)
    assert summary.steps == 5
    assert told.steps == [1, 2, 3, 4, 5]
    assert told.measured_at == [0, 2, 4, 5]
    native, _, _ = ran(tmp_path / "native", tiny_folder, *more)
    for row, of_native in zip(directory.metrics(), native.metrics(), strict=True):
        assert row.keys() == of_native.keys()
