"""A run that is killed (SIGKILL) again and again, at places that hurt, ends as the uninterrupted one."""

import os
import signal
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest
from safetensors.torch import load_file

from small import settings

# Runs the command line and kills its own process: at the n-th synchronisation of a file, which lies inside the writing
# of a checkpoint, a state or a row; or at the n-th answer of the judge, before its batch is on record.
DRIVER = """
import os, signal, sys
kind, count = sys.argv[1], int(sys.argv[2])
left = [count]
def die(*_):
    left[0] -= 1
    if left[0] == 0:
        os.kill(os.getpid(), signal.SIGKILL)
if kind == "sync":
    import preceptor.store.files
    real = os.fsync
    os.fsync = lambda handle: (die(), real(handle))
if kind == "judge":
    import preceptor.backends.scripted as scripted
    script = scripted.SCRIPTS["random"]
    scripted.SCRIPTS["random"] = lambda request: (die(), script(request))[1]
from preceptor.cli.app import main
sys.argv = ["preceptor", *sys.argv[3:]]
main()
"""

ONE_THREAD = {**os.environ, "OMP_NUM_THREADS": "1"}
KILLS = [("sync", 3), ("judge", 20), ("sync", 14), ("sync", 24), ("judge", 11), ("sync", 33)]


def drive(kind: str, count: int, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", DRIVER, kind, str(count), *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False, env=ONE_THREAD)


def calls(run: Path) -> list[tuple[str, str]]:
    with sqlite3.connect(run / "ledger.sqlite") as connection:
        return connection.execute("SELECT key, outcome FROM calls ORDER BY key").fetchall()


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
    )
    assert process.stderr is not None
    rest = ""
    for line in process.stderr:
        rest += line
        # Python drops an interrupt that falls into a finaliser, so it is sent once more where the run went on.
        if line.startswith(("step 1/5", "step 3/5")):
            process.send_signal(signal.SIGINT)
    assert process.wait() == 130, rest
    assert f"preceptor run --resume {run}" in rest.replace("\n", "")
    assert "Traceback" not in rest
    assert '"interrupted"' in (run / "summary.json").read_text()
    resumed = drive("never", 0, "run", "--resume", str(run))
    assert resumed.returncode == 0, resumed.stderr
    assert (run / "metrics.jsonl").read_bytes() == (whole / "metrics.jsonl").read_bytes()
