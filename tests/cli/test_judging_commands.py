"""`label`, `audit`, `revise` and `construct` as a person meets them."""

import json
import sys
from pathlib import Path
from typing import Any

import pytest
from test_commands import call

EXAMPLES = Path(__file__).parent.parent.parent / "examples"
COMPARISONS = str(EXAMPLES / "comparisons.jsonl")
PROMPTS = str(EXAMPLES / "prompts.jsonl")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["label", "none.jsonl", "--out", "x"], "none.jsonl: cannot be read"),
        (["label", COMPARISONS, "--out", "x", "--judge", "embeded"], 'there is no model "embeded"'),
        (["label", COMPARISONS, "--out", "x", "--constitution", "helpfull"], 'did you mean "helpful"?'),
        (["label", COMPARISONS, "--out", "x", "--variant", "detailed+cott"], '"cott" in the variant "detailed+cott"'),
        (["label", COMPARISONS, "--out", "x", "--variant", "base+each"], "principles are not shown"),
        (
            ["label", COMPARISONS, "--out", "x", "--design", "round"],
            'expected "all", "circular", "anchor", "swiss" or "knockout"',
        ),
        (["label", COMPARISONS, "--out", "x", "--judges", "none.toml"], "none.toml: the judges cannot be read"),
        (["label", COMPARISONS, "--out", "x", "--calibration", "none.json"], "none.json"),
        (["label", COMPARISONS, "--out", "x", "--bias", "none.json"], "none.json"),
        (
            ["label", COMPARISONS, "--out", "x", "--bias", "1.json", "--bias", "2.json"],
            "2 bias corrections for 1 judges",
        ),
        (["label", COMPARISONS, "--out", "x", "--concurrency", "0"], "concurrency = 0"),
        (["label", COMPARISONS, "--out", "x", "--judge", "openai:m@http://a:b@host/v1"], "password"),
        (
            ["label", COMPARISONS, "--out", "x", "--judges", "j.toml", "--judge", "embedded"],
            "--judges names all judges",
        ),
        (["label", COMPARISONS], "add --out FOLDER, or --dry-run"),
        (["audit", "none.jsonl"], "none.jsonl: cannot be read"),
        (["audit", PROMPTS], "prompts.jsonl:1"),
        (["audit", COMPARISONS, "--method", "isotonic"], 'expected "platt" or "temperature"'),
        (["revise", "none.jsonl", "--out", "x"], "none.jsonl: cannot be read"),
        (["construct", "none.jsonl", "--out", "x"], "none.jsonl: cannot be read"),
    ],
)
def test_a_mistake_is_answered_in_one_line(
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    arguments: list[str],
    message: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    code, out, err = call(capsys, monkeypatch, *arguments)
    assert (code, out) == (2, "")
    assert list(tmp_path.iterdir()) == []
    [line] = [line for line in err.splitlines() if line.startswith("preceptor: ")]
    assert message in line
    assert "Traceback" not in err


def test_an_unknown_key_in_a_file_of_judges_is_named(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    file = tmp_path / "judges.toml"
    file.write_text("[[judges]]\nmodell = 'embedded'\n")
    code, _, err = call(capsys, monkeypatch, "label", COMPARISONS, "--out", str(tmp_path / "x"), "--judges", str(file))
    assert code == 2
    assert 'unknown key "judges.0.modell"; did you mean "model"?' in err
    file.write_text("[[judges]]\nsettings = { rational = true }\n")
    code, _, err = call(capsys, monkeypatch, "label", COMPARISONS, "--out", str(tmp_path / "x"), "--judges", str(file))
    assert 'did you mean "rationale"?' in err


def run(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, *arguments: str) -> Any:
    code, out, err = call(capsys, monkeypatch, *arguments, "--json")
    assert code == 0, err
    return json.loads(out)


def test_json_of_each_command(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    judge = ("--judge", "scripted:random")
    assert run(capsys, monkeypatch, "label", COMPARISONS, *judge, "--dry-run")["calls"] == 48
    assert run(capsys, monkeypatch, "label", COMPARISONS, "--out", "l", *judge, "--dry-run")["calls"] == 48
    assert not list(tmp_path.iterdir())
    assert run(capsys, monkeypatch, "label", COMPARISONS, "--out", "l", *judge)["counts"]["preferences"] == 24
    audited = run(capsys, monkeypatch, "audit", COMPARISONS, *judge, "--variant", "base", "--variant", "detailed")
    assert [judge["n"] for judge in audited["judges"]] == [24, 24]
    assert Path("audits/comparisons/report.html").exists()
    revised = run(capsys, monkeypatch, "revise", PROMPTS, "--out", "r", "--model", "scripted:random", "--rounds", "2")
    assert revised["revised"] == 6
    pairs = [json.loads(line) for line in Path("r/preferences.jsonl").read_text().splitlines()]
    assert all(len(pair["rounds"]) == 2 and pair["chosen"][0]["role"] == "assistant" for pair in pairs)
    assert len(Path("r/sft.jsonl").read_text().splitlines()) == 6
    made = run(capsys, monkeypatch, "construct", PROMPTS, "--out", "c", "--model", "scripted:random")
    assert len(Path("c/preferences.jsonl").read_text().splitlines()) == made["pairs"] == 6


def test_tables_for_people(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    code, out, _ = call(capsys, monkeypatch, "audit", COMPARISONS, "--judge", "scripted:first", "--out", "a")
    assert code == 0
    assert "aligned" in out
    code, out, _ = call(capsys, monkeypatch, "label", COMPARISONS, "--judge", "scripted:first", "--out", "l")
    assert code == 0
    assert "same position wins after the swap" in out
    assert "100%" in out


def test_labelling_over_a_server_needs_no_torch(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    import subprocess

    program = (
        "import sys; sys.argv = ['preceptor', 'label', *sys.argv[1:], '--judge', 'scripted:random'];"
        "from preceptor.cli.app import app; app(standalone_mode=False);"
        "assert not {'torch', 'transformers', 'scipy.stats'} & sys.modules.keys()"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, COMPARISONS, "--out", str(tmp_path / "l")],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
