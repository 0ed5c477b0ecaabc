"""`rubrics write` and `rubrics audit` as a person meets them."""

import json
from pathlib import Path
from typing import Any

import pytest
from test_commands import call

ROWS = [
    {"prompt": f"Name {n} colours.", "response_a": "red and blue", "response_b": "no", "label": "a"} for n in (2, 3, 4)
]


@pytest.fixture
def rows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.chdir(tmp_path)
    Path("rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in ROWS), encoding="utf-8")
    return "rows.jsonl"


def printed(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, *arguments: str) -> dict[str, Any]:
    code, out, err = call(capsys, monkeypatch, "rubrics", *arguments, "--json", "--quiet")
    assert code == 0, err
    return json.loads(out)


def test_a_dry_run_writes_nothing(
    rows: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    options = ("--model", "scripted:random", "--items", "2", "--candidates", "3", "--dry-run")
    plan = printed(capsys, monkeypatch, "write", rows, *options)
    # For each prompt: write the items, sample a response, rephrase 2 items, judge both forms on 3 responses.
    assert plan["calls"] == 3 * (1 + 1 + 2 + 2 * 2 * 3)
    assert [path.name for path in Path().iterdir()] == [rows]


def test_without_a_folder_the_option_is_named(
    rows: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    code, _, err = call(capsys, monkeypatch, "rubrics", "write", rows, "--model", "scripted:random")
    assert code == 2 and "--out" in err


def test_rubrics_are_written_and_measured(
    rows: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    options = ("--model", "scripted:random", "--candidates", "2", "--items", "20", "--out", "out")
    written = printed(capsys, monkeypatch, "write", rows, *options)
    assert written["prompts"] == 3
    assert written["written"] == written["kept"] + sum(written["dropped"].values())
    rubrics = Path("rubrics.jsonl")
    items = [{"criterion": f"Has {n} words.", "check": {"verifier": "words", "least": n}} for n in (2, 3)]
    rubrics.write_text("".join(json.dumps({"prompt": row["prompt"], "rubric": items}) + "\n" for row in ROWS))
    judged = ("--judge", "scripted:random", "--rubrics", "rubrics.jsonl")
    audit = printed(capsys, monkeypatch, "audit", rows, *judged)
    assert audit["agreement"]["value"] == 1.0 and audit["order"] is None
    assert json.loads((Path("audits") / "rubrics" / "rows" / "rubric_audit.json").read_text()) == audit
    one_call = printed(capsys, monkeypatch, "audit", rows, *judged, "--one-call", "--out", "other")
    assert one_call["order"]["changed"]["value"] == 0.0  # code does not mind the order
