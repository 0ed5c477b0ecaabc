"""The benchmark for GPUs, tried at its smallest scale on a CPU: each part measures everything, and one that fails says
so while the others go on.
"""

import json
from argparse import Namespace
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("trl")
ROOT = Path(__file__).parents[2]


@pytest.fixture(autouse=True)
def found(monkeypatch: pytest.MonkeyPatch) -> None:
    """The benchmarks are beside the package, not in it."""
    monkeypatch.syspath_prepend(str(ROOT))


def measured(file: Path) -> dict[str, Any]:
    said = json.loads(file.read_text())
    assert said["failed"] == {}
    return said["measured"]


def test_a_cpu_computes_what_plain_transformers_computes(tmp_path: Path) -> None:
    from benchmarks.workers.gpu_parity import main

    main("tiny", str(tmp_path / "parity.json"))
    found = measured(tmp_path / "parity.json")
    assert len(found) == 4
    assert [name for name, facts in found.items() if not facts["ok"]] == []


def test_labels_and_steps_are_measured_for_all(tmp_path: Path) -> None:
    from benchmarks.gpu import table
    from benchmarks.workers.gpu_speed import STEPS, main

    main("tiny", "tiny", str(tmp_path / "tiny.json"))
    found = measured(tmp_path / "tiny.json")
    assert {f"step: {name}" for name in STEPS} < found.keys()
    assert all(facts["flop_per_second"] > 0 for facts in found.values())
    assert all(len(found[f"step: {name}"]["all_seconds"]) == 1 for name in STEPS)
    shown = table({"tiny": json.loads((tmp_path / "tiny.json").read_text())})
    assert shown.count("labels a second") == 2
    assert shown.count("for 4 responses") == 4


def test_what_fails_or_has_no_time_says_so_and_the_rest_is_kept(tmp_path: Path) -> None:
    from benchmarks.gpu import run, table
    from benchmarks.workers.gpu_kit import PartFile

    def broken() -> dict[str, Any]:
        raise ValueError("no kernel | fits")

    part = PartFile(tmp_path / "part.json", "part")
    part.measure("first", broken)
    part.measure("second", lambda: {"flop_per_second": 2e12})
    said = json.loads((tmp_path / "part.json").read_text())
    assert said["failed"] == {"first": "ValueError: no kernel | fits"}
    shown = table({"part": said})
    assert "failed: ValueError: no kernel / fits" in shown
    assert "2 TFLOP" in shown
    late = run(["tiny"], {"tiny": 60}, total=0.0, asked=Namespace(out=tmp_path, device="cpu", scale="tiny"))
    assert "time" in late["tiny"]["failed"]["all"]


def test_without_a_gpu_it_says_what_to_do(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    import torch
    from benchmarks.gpu import main

    if torch.cuda.is_available():
        pytest.skip("there is a GPU")
    assert main(["--out", str(tmp_path / "out")]) == 2
    assert "--device cpu --scale tiny" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()
