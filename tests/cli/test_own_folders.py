"""No command touches files in a folder that is not its own."""

import json
import os
import sys
from pathlib import Path
from typing import Any

import pytest

from preceptor.cli.app import main
from preceptor.store.own_folder import MARKER, Kind, check_own, working_in

PREFERENCE: dict[str, Any] = {
    **{"id": "x", "prompt_id": "p", "cohort": "all", "prompt": [{"role": "user", "content": "q"}]},
    **{"chosen_is": "a", "p_chosen": 0.7, "verdicts": [{"order": "ab", "p_a": 0.7}], "constitution_hash": "c"},
    **{"chosen_policy": "x", "rejected_policy": "y"},
    "chosen": [{"role": "assistant", "content": text} for text in ("a", "b")],
    "rejected": [{"role": "assistant", "content": text} for text in ("a", "c")],
}
RANDOM = ["--judge", "scripted:random"]
COMMANDS: dict[str, list[str]] = {
    "label": ["label", "comparisons.jsonl", *RANDOM],
    "audit": ["audit", "comparisons.jsonl", *RANDOM],
    "evaluate": ["evaluate", "a=one.jsonl", "b=two.jsonl", *RANDOM],
    "rubrics write": ["rubrics", "write", "one.jsonl", "--model", "scripted:random", "--candidates", "2"],
    "rubrics audit": ["rubrics", "audit", "with_rubrics.jsonl", *RANDOM],
    "revise": ["revise", "one.jsonl", "--model", "scripted:random"],
    "construct": ["construct", "one.jsonl", "--model", "scripted:random"],
    "estimate": ["estimate", "preferences.jsonl"],
    "trajectories": ["trajectories", "preferences.jsonl"],
    "agreement": ["agreement", "rated.jsonl"],
    "compare": ["compare", "runs/a", "runs/b"],
    "sweep": ["sweep", "runs/a"],
    "train": ["train", "reward", "comparisons.jsonl"],
    "run": ["run", "quickstart"],
    "arms": ["arms", "warm_tone"],
}
FOREIGN = ("preferences.jsonl", "README.md", "summary.json", "report.html", "metrics.jsonl", "thesis.partial")


def write(path: Path, rows: list[dict[str, Any]]) -> None:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    write(
        tmp_path / "comparisons.jsonl",
        [{"prompt": f"Q{i}?", "response_a": "yes", "response_b": "no", "label": "a"} for i in range(4)],
    )
    for name in ("one", "two"):
        write(tmp_path / f"{name}.jsonl", [{"prompt": f"Q{i}?", "response": f"{name} {i}"} for i in range(4)])
    write(
        tmp_path / "with_rubrics.jsonl",
        [{"prompt": "Q?", "response_a": "yes", "response_b": "no", "rubric": [{"criterion": "Says yes."}]}],
    )
    write(tmp_path / "preferences.jsonl", [PREFERENCE])
    write(tmp_path / "rated.jsonl", [{"prompt": "q", "response_a": "x", "response_b": "y", "ratings": ["a", "b"]}])
    monkeypatch.chdir(tmp_path)
    return tmp_path


def call(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, *arguments: str) -> tuple[int, str]:
    monkeypatch.setattr(sys, "argv", ["preceptor", *arguments])
    with pytest.raises(SystemExit) as ended:
        main()
    err = capsys.readouterr().err
    assert "Traceback" not in err
    assert isinstance(ended.value.code, int)
    return ended.value.code, err


@pytest.mark.parametrize("command", COMMANDS)
def test_a_foreign_folder_is_left_as_it_is(
    command: str, folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in FOREIGN:
        out = folder / f"of-{name}"
        out.mkdir()
        (out / name).write_text("mine")
        code, err = call(capsys, monkeypatch, *COMMANDS[command], "--out", str(out))
        assert code == 2, err
        assert f"holds {name}" in err
        assert [(each.name, each.read_text()) for each in out.iterdir()] == [(name, "mine")]


@pytest.mark.parametrize("command", COMMANDS)
def test_an_empty_name_is_no_folder(
    command: str, folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    before = sorted(folder.iterdir())
    for empty in (["--out", ""], ["--out="]):
        code, err = call(capsys, monkeypatch, *COMMANDS[command], *empty)
        assert (code, sorted(folder.iterdir())) == (2, before)
        assert "--out: expected a value, got an empty one" in err


@pytest.mark.parametrize("command", ["label", "audit", "evaluate", "estimate", "trajectories", "agreement"])
def test_its_own_folder_is_gone_on_with_and_so_is_one_of_an_earlier_version(
    command: str, folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    arguments = [*COMMANDS[command], "--out", "out"]
    assert call(capsys, monkeypatch, *arguments)[0] == 0
    (folder / "out" / "notes.txt").write_text("mine")
    assert call(capsys, monkeypatch, *arguments)[0] == 0
    (folder / "out" / MARKER).unlink()  # as it was before there were markers
    assert call(capsys, monkeypatch, *arguments)[0] == 0
    assert (folder / "out" / MARKER).exists()
    assert (folder / "out" / "notes.txt").read_text() == "mine"


def test_the_folder_of_other_work_is_refused(
    folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert call(capsys, monkeypatch, *COMMANDS["label"], "--out", "out")[0] == 0
    code, err = call(capsys, monkeypatch, *COMMANDS["audit"], "--out", "out")
    assert code == 2
    assert "out: holds other work (labels, by preceptor" in err


@pytest.mark.parametrize("text", ["[]", "{}", "null", "", "[" * 5000])
def test_a_damaged_marker_is_named(text: str, tmp_path: Path) -> None:
    with working_in(tmp_path / "out", "labels"):
        pass
    (tmp_path / "out" / MARKER).write_text(text)
    with pytest.raises(Exception, match="is damaged; delete it"):
        check_own(tmp_path / "out", "labels")


def test_a_pipe_in_a_folder_is_not_opened(tmp_path: Path) -> None:
    with working_in(tmp_path / "out", "labels"):
        pass
    os.mkfifo(tmp_path / "out" / "label.json")
    with pytest.raises(Exception, match="is a pipe, a device or a socket"):
        check_own(tmp_path / "out", "labels")


@pytest.mark.parametrize("kind", ["labels", "audit", "evaluation", "sweep", "run", "arms"])
def test_a_job_that_was_killed_before_it_wrote_a_marker_goes_on(kind: Kind, tmp_path: Path) -> None:
    (tmp_path / ".lock").touch()
    (tmp_path / "ledger.sqlite").touch()
    check_own(tmp_path, kind)
