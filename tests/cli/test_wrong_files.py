"""A file of another kind is named, with what was expected instead; no words of a library, no traceback, no folder."""

import json
from pathlib import Path
from typing import Any

import pytest
from test_commands import call

JUDGE = ("--judge", "scripted:random")
COMMANDS: dict[str, tuple[str, ...]] = {
    "estimate": ("estimate", "{}"),
    "people": ("estimate", "labels.jsonl", "--sample", "random", "--people", "{}"),
    "agreement": ("agreement", "{}"),
    "audit": ("audit", "{}", *JUDGE, "--out", "x"),
    "evaluate": ("evaluate", "{}", "responses.jsonl", *JUDGE, "--out", "x"),
    "evaluate --prompts": ("evaluate", "scripted:random", "responses.jsonl", "--prompts", "{}", *JUDGE, "--out", "x"),
    "evaluate --audit": ("evaluate", "responses.jsonl", "o=responses.jsonl", "--audit", "{}", *JUDGE, "--out", "x"),
    "compare": ("compare", "{}", "other", "--out", "x"),
    "train reward": ("train", "reward", "{}", "--out", "x"),
    "revise": ("revise", "{}", "--model", "scripted:random", "--out", "x"),
    "construct": ("construct", "{}", "--model", "scripted:random", "--out", "x"),
    "rubrics write": ("rubrics", "write", "{}", "--model", "scripted:random", "--out", "x"),
    "rubrics audit": ("rubrics", "audit", "{}", *JUDGE, "--out", "x"),
    "cohort": ("cohort", "{}", "--out", "x"),
    "trajectories": ("trajectories", "{}"),
    "label": ("label", "{}", *JUDGE, "--out", "x"),
    "report": ("report", "{}"),
    "run": ("run", "--resume", "{}"),
    "sweep": ("sweep", "{}", "--out", "x"),
}
FILES: dict[str, str | bytes] = {
    "prompts.jsonl": json.dumps({"prompt": "Why?"}) + "\n",
    "rated.jsonl": json.dumps({"id": "1", "label": "a"}) + "\n",
    "steps.jsonl": json.dumps({"steps": [{"role": "user", "content": "q"}]}) + "\n",
    "empty.jsonl": "",
    "binary.jsonl": b"PK\x03\x04\x9c\xff\n\x00\x81",
    "text.jsonl": "a text\n",
    "folder": "",
}
READS_PROMPTS = {"evaluate --prompts", "revise", "construct", "rubrics write", "cohort"}
SAYS_WHAT_ELSE = (
    "expected",
    "known: ",
    "give ",
    "there are no",
    "there is no",
    "no row",
    "no conversation",
    "is neither",
)
NOT_FOR_PEOPLE = ("Field required", "Input should", "codec", "validation error", "Errno", "line 1 column", "Traceback")


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name, content in FILES.items():
        if name == "folder":
            (tmp_path / name).mkdir()
        else:
            (tmp_path / name).write_bytes(content if isinstance(content, bytes) else content.encode())
    (tmp_path / "responses.jsonl").write_text(json.dumps({"prompt": "Why?", "response": "So."}) + "\n")
    (tmp_path / "labels.jsonl").write_text(json.dumps(LABELLED) + "\n")
    monkeypatch.chdir(tmp_path)
    return tmp_path


LABELLED: dict[str, Any] = {
    **{"id": "1", "prompt_id": "p", "prompt": [{"role": "user", "content": "Why?"}], "chosen_is": "a", "p_chosen": 0.7},
    "chosen": [{"role": "assistant", "content": "yes"}],
    "rejected": [{"role": "assistant", "content": "no"}],
}


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("command", COMMANDS)
def test_a_file_of_another_kind(
    command: str, name: str, folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    if name == "prompts.jsonl" and command in READS_PROMPTS:
        return
    before = sorted(folder.iterdir())
    code, out, err = call(capsys, monkeypatch, *(part.format(name) for part in COMMANDS[command]), "--quiet")
    assert (code, out) == (2, ""), err
    assert sorted(folder.iterdir()) == before
    assert name in err
    assert any(words in err for words in SAYS_WHAT_ELSE), err
    assert not [words for words in NOT_FOR_PEOPLE if words in err], err


def test_a_wrong_value_is_named_with_what_was_expected(
    folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    (folder / "labels.jsonl").write_text(json.dumps(LABELLED | {"p_chosen": 7}) + "\n")
    _, _, err = call(capsys, monkeypatch, "estimate", "labels.jsonl")
    assert "labels.jsonl:1: p_chosen: expected a number less than or equal to 1, got 7; " in err
