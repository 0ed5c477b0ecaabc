"""Ctrl-C, TERM and HUP: one line, the command that goes on, nothing lost."""

import shlex
import signal
from pathlib import Path

import pytest

from killing import calls, drive
from preceptor.cli.app import main
from preceptor.cli.stopping import Stopped, exit_code, going_on_by, words
from small import settings

COMPARISONS = Path(__file__).parents[2] / "examples" / "comparisons.jsonl"
LABEL = ["label", str(COMPARISONS), "--judge", "scripted:random", "--concurrency", "1"]


def last_lines(stderr: str) -> list[str]:
    return [line for line in stderr.splitlines() if line.startswith("preceptor: ")]


def test_labelling_is_stopped_by_every_signal_and_goes_on(tmp_path: Path) -> None:
    """Each signal stops the same job further on; in the end it is the job that nothing stopped."""
    command = [*LABEL, "--out", str(tmp_path / "stopped one")]
    for sent, code in ((signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 129)):
        stopped = drive("judge", 15, *command, sent=sent)
        assert stopped.returncode == code, stopped.stderr
        assert last_lines(stopped.stderr) == [f"preceptor: interrupted; resume with: preceptor {shlex.join(command)}"]
        assert "Traceback" not in stopped.stderr
        assert not list((tmp_path / "stopped one").glob("*-wal"))  # the ledger was closed
    for out in ("stopped one", "whole"):
        assert drive("never", 0, *LABEL, "--out", str(tmp_path / out)).returncode == 0
    stopped_one, whole = tmp_path / "stopped one", tmp_path / "whole"
    assert (stopped_one / "preferences.jsonl").read_bytes() == (whole / "preferences.jsonl").read_bytes()
    assert calls(stopped_one) == calls(whole)


def test_a_run_is_stopped_while_it_loads_a_model(tmp_path: Path, tiny_folder: Path) -> None:
    overrides = [part for each in settings(tmp_path, tiny_folder) for part in ("--set", each)]
    run = tmp_path / "run"
    stopped = drive("load", 1, "run", "quickstart", *overrides, "--out", str(run), "--merge", sent=signal.SIGTERM)
    assert stopped.returncode == 143, stopped.stderr
    assert last_lines(stopped.stderr) == [f"preceptor: interrupted; resume with: preceptor run --resume {run} --merge"]
    assert "Traceback" not in stopped.stderr
    assert '"interrupted"' in (run / "summary.json").read_text()


def test_the_outermost_command_is_the_one_that_goes_on() -> None:
    with pytest.raises(Stopped) as stopped, going_on_by("outer", "--out", "a b"), going_on_by("inner"):
        raise Stopped(signal.SIGHUP)
    assert words(stopped.value) == "interrupted; resume with: outer --out 'a b'"
    assert exit_code(stopped.value) == 129
    assert words(KeyboardInterrupt(), ["report", "x"]) == "interrupted; resume with: preceptor report x"


def test_a_fault_of_ours_shows_where_it_is(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is swallowed: what nobody foresaw has its traceback, and says whose fault it is."""

    def broken(**_: object) -> None:
        raise KeyError("lost")

    monkeypatch.setattr("sys.argv", ["preceptor", "recipes"])
    with pytest.raises(SystemExit) as ended:
        main(broken)
    stderr = capsys.readouterr().err
    assert ended.value.code == 70
    assert "Traceback" in stderr
    assert "this is a bug in preceptor, not your mistake (KeyError: 'lost'); please report the lines above" in stderr
