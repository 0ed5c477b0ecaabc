"""Two processes learn what one learns, and an error of one ends both."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
import two_processes
from accelerate import PartialState
from safetensors.torch import load_file

from preceptor.store.files import read_rows
from preceptor.training.processes import Processes


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, int, str]:
    """What two processes left, and said, that train every case and then meet an error."""
    root = tmp_path_factory.mktemp("pair")
    tests = Path(__file__).parents[1]
    command = [
        sys.executable, "-m", "accelerate.commands.launch", "--multi_gpu", "--num_processes", "2",
        "--num_machines", "1", "--mixed_precision", "no", "--dynamo_backend", "no", "--main_process_port", "0",
        two_processes.__file__, str(root),
    ]  # fmt: skip
    environment = os.environ | {
        "OMP_NUM_THREADS": "1",
        "PYTHONPATH": os.pathsep.join([str(tests), *sys.path]),
        "CUDA_VISIBLE_DEVICES": "",
    }
    with subprocess.Popen(
        command, env=environment, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    ) as launched:
        try:
            said, _ = launched.communicate(timeout=240)
        finally:
            launched.terminate()  # it ends its processes, should they wait for each other for ever
    return root, launched.returncode, said


def numbers_of(metrics: Path) -> list[dict[str, Any]]:
    """Each row, the numbers of its episodes beside the others."""
    rows: list[dict[str, Any]] = [*read_rows(metrics)]
    return [row | {f"episodes/{name}": n for name, n in row.pop("episodes", {}).items()} for row in rows]


@pytest.mark.parametrize("name", two_processes.CASES)
def test_two_processes_learn_what_one_learns(pair: tuple[Path, int, str], tmp_path: Path, name: str) -> None:
    root, _, said = pair
    assert (root / f"{name}-1.safetensors").exists(), said[-3000:]
    expected = two_processes.run(tmp_path, name).weights()
    for index in (0, 1):
        weights = load_file(root / f"{name}-{index}.safetensors")
        assert weights.keys() == expected.keys()
        for key, tensor in weights.items():
            torch.testing.assert_close(tensor, expected[key], atol=1e-5, rtol=1e-5)
    rows, expected_rows = (numbers_of(folder / name / "metrics.jsonl") for folder in (root, tmp_path))
    assert len(rows) == len(expected_rows) == 3
    for row, expected_row in zip(rows, expected_rows, strict=True):
        assert row == pytest.approx(expected_row, abs=1e-5, rel=1e-4)
    assert [p.name for p in sorted((root / name / "checkpoints").iterdir())] == [
        "step-000000", "step-000002", "step-000003",
    ]  # fmt: skip


def test_an_error_of_the_main_process_ends_both(pair: tuple[Path, int, str]) -> None:
    root, code, said = pair
    assert code != 0
    assert "the judge went home" in said
    main, other = ((root / f"heard-{index}.txt").read_text().splitlines() for index in (0, 1))
    assert main[:4] == ["2 processes", "[0, 1]", "[0, 1]", "True"]
    assert other[:4] == ["2 processes", "[2, 3, 4]", "[0, 1]", "False"]
    assert main[4:] == ["_Stubborn: it cannot be pickled", "KeyboardInterrupt: ", "PreceptorError: the judge went home"]
    assert other[4:] == [
        "PreceptorError: the main process failed: _Stubborn: it cannot be pickled",
        "KeyboardInterrupt: ",
        "PreceptorError: the judge went home",
    ]


def test_one_process_is_the_whole_of_itself() -> None:
    PartialState()  # a trainer of another library made it first
    processes = Processes()
    assert (processes.count, processes.index, processes.is_main) == (1, 0, True)
    assert processes.part([1, 2, 3]) == processes.gather([1, 2, 3]) == [1, 2, 3]
    with pytest.raises(ZeroDivisionError):
        processes.on_main(lambda: 1 // 0)
