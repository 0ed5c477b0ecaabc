"""A run that is killed (SIGKILL) again and again, at places that hurt, ends as the uninterrupted one."""

import signal
import subprocess
import sys
from pathlib import Path

import pytest
from safetensors.torch import load_file

from killing import ONE_THREAD, calls, drive
from small import settings

KILLS = [("sync", 3), ("judge", 20), ("sync", 14), ("sync", 24), ("judge", 7), ("sync", 12)]


@pytest.fixture(scope="module")
def start(tmp_path_factory: pytest.TempPathFactory, tiny_folder: Path) -> tuple[Path, list[str]]:
    folder = tmp_path_factory.mktemp("killed")
    overrides = [part for override in settings(folder, tiny_folder) for part in ("--set", override)]
    return folder, ["run", "quickstart", *overrides]


@pytest.fixture(scope="module")
def whole(start: tuple[Path, list[str]]) -> Path:
    """The run that nothing interrupted."""
    folder, command = start
    done = drive("never", 0, *command, "--out", str(folder / "whole"))
    assert done.returncode == 0, done.stderr
    return folder / "whole"


def test_killed_and_resumed_equals_uninterrupted(start: tuple[Path, list[str]], whole: Path) -> None:
    folder, command = start
    cut = folder / "cut"
    arguments = [*command, "--out", str(cut)]
    inside_a_checkpoint = False
    for kind, count in KILLS:
        killed = drive(kind, count, *arguments)
        assert killed.returncode == -signal.SIGKILL, killed.stderr
        inside_a_checkpoint |= any((cut / "checkpoints").glob("*.partial"))
        arguments = ["run", "--resume", str(cut)]
    assert inside_a_checkpoint
    resumed = drive("never", 0, *arguments)
    assert resumed.returncode == 0, resumed.stderr

    assert (cut / "metrics.jsonl").read_bytes() == (whole / "metrics.jsonl").read_bytes()
    assert calls(cut) == calls(whole)
    for part in ("evaluations", "checkpoints"):
        assert sorted(p.name for p in (cut / part).iterdir()) == sorted(p.name for p in (whole / part).iterdir())
    for measured in (whole / "evaluations").iterdir():
        assert (cut / "evaluations" / measured.name).read_bytes() == measured.read_bytes()
    weights, expected = (load_file(run / "checkpoints/best/adapter_model.safetensors") for run in (cut, whole))
    assert all((weights[name] == expected[name]).all() for name in expected)
    assert not list(cut.rglob("*.partial"))


def test_ctrl_c_stops_cleanly_and_tells_how_to_go_on(start: tuple[Path, list[str]], whole: Path) -> None:
    folder, command = start
    run = folder / "interrupted"
    process = subprocess.Popen(
        [sys.executable, "-m", "preceptor", *command, "--out", str(run)],
        stderr=subprocess.PIPE,
        text=True,
        env=ONE_THREAD,
        # A shell's background job ignores interrupts, and so would what it starts.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # noqa: PLW1509  no threads here
    )
    assert process.stderr is not None
    rest = ""
    for line in process.stderr:
        rest += line
        if line.startswith("step 1/5"):
            process.send_signal(signal.SIGINT)
    assert process.wait() == 130, rest
    assert f"preceptor run --resume {run}" in rest.replace("\n", "")
    assert "Traceback" not in rest
    assert '"interrupted"' in (run / "summary.json").read_text()
    resumed = drive("never", 0, "run", "--resume", str(run))
    assert resumed.returncode == 0, resumed.stderr
    assert (run / "metrics.jsonl").read_bytes() == (whole / "metrics.jsonl").read_bytes()
