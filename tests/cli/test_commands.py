"""The command line as a person meets it: one-line errors, exit codes, JSON on standard output."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from preceptor.cli.app import main
from preceptor.recipes.load import shipped_recipes
from small import settings


def call(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, *arguments: str) -> tuple[int, str, str]:
    monkeypatch.setattr(sys, "argv", ["preceptor", *arguments])
    with pytest.raises(SystemExit) as exit_:
        main()
    out, err = capsys.readouterr()
    assert isinstance(exit_.value.code, int)
    return exit_.value.code, out, err


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["run", "quickstrat"], 2, 'there is no recipe "quickstrat"; did you mean "quickstart"?'),
        (["run"], 2, "give a recipe to start a run, or --resume RUN"),
        (["run", "quickstart", "--set", "rl.stesp=1"], 2, 'unknown key "rl.stesp"; did you mean "steps"?'),
        (["run", "quickstart", "--steps", "5"], 2, "No such option"),
        (["rum"], 2, "No such command"),
        (["run", "--resume", "nowhere"], 2, "nowhere: holds no run"),
        (["report", "nowhere"], 2, "nowhere: holds no run"),
        (["run", "quickstart", "--set", "prompts=none.jsonl"], 2, "none.jsonl: the prompts file cannot be read"),
        (["run", "quickstart", "--set", "policy=embeded"], 2, 'there is no model "embeded"'),
        (["run", "quickstart", "--set", "judge.model=scripted:rndom"], 2, 'did you mean "random"?'),
        (["run", "quickstart", "--set", "judge.constitution=warm"], 2, 'did you mean "warm_tone"?'),
        (["run", "quickstart", "--set", "rl.learning_rate=inf"], 2, "rl.learning_rate = inf"),
        (["run", "quickstart", "--set", "rl.group_size=1"], 2, "rloo compares siblings and needs at least 2"),
    ],
)
def test_a_mistake_is_answered_in_one_line(
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    arguments: list[str],
    code: int,
    message: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    got, out, err = call(capsys, monkeypatch, *arguments)
    assert got == code
    assert out == ""
    assert list(tmp_path.iterdir()) == []
    [line] = [line for line in err.splitlines() if line.startswith("preceptor: ")]
    assert message in line
    assert "Traceback" not in err


def test_a_place_that_cannot_be_written(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("x")
    code, _, err = call(capsys, monkeypatch, "run", "quickstart", "--out", str(tmp_path / "file" / "run"))
    assert code == 1
    assert "the run directory cannot be made: Not a directory" in err


def test_help_names_every_command(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    code, out, _ = call(capsys, monkeypatch, "--help")
    assert code == 0
    for command in ("run", "recipes", "models", "report"):
        assert command in out


def test_recipes_and_models(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    code, out, _ = call(capsys, monkeypatch, "recipes", "--json")
    assert code == 0
    assert set(json.loads(out)) == set(shipped_recipes())
    _, out, _ = call(capsys, monkeypatch, "recipes", "quickstart")
    assert "learning_rate = 0.001" in out
    code, out, _ = call(capsys, monkeypatch, "models", "--json")
    assert code == 0
    assert "embedded" in json.loads(out)["forms"]


COMPARISONS = Path(__file__).parents[2] / "examples" / "comparisons.jsonl"
LABEL = ["label", str(COMPARISONS), "--judge", "scripted:random", "--out"]


@pytest.mark.parametrize(
    ("arguments", "unneeded"),
    [
        (["--help"], "numpy, pydantic, importlib.metadata"),
        (["recipes"], ""),
        (["run", "quickstart", "--set", "polcy=x"], ""),
        ([*LABEL, "nowhere", "--dry-run"], "numpy, scipy, pyarrow, jinja2"),
        ([*LABEL, "here"], "pandas, scipy"),
    ],
    ids=["help", "recipes", "run", "dry run", "label"],
)
def test_what_is_not_needed_is_not_imported(arguments: list[str], unneeded: str, tmp_path: Path) -> None:
    """Start-up is fast because nothing heavy is imported."""
    arguments = [str(tmp_path / "out") if word == "here" else word for word in arguments]
    script = (
        f"import sys; sys.argv = ['preceptor', *{arguments}]\n"
        "from preceptor.cli.app import main\n"
        "try: main()\n"
        "except SystemExit: pass\n"
        f"assert not set({['torch', 'transformers', *unneeded.split(', ')]}) & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", script], check=True, capture_output=True)


def test_a_run_and_its_report(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path, tiny_folder: Path
) -> None:
    overrides = [part for s in settings(tmp_path, tiny_folder) for part in ("--set", s)]
    out_folder = str(tmp_path / "run")
    code, out, err = call(capsys, monkeypatch, "run", "quickstart", *overrides, "--out", out_folder, "--json")
    assert code == 0
    assert json.loads(out)["status"] == "done"
    assert "step 5/5" in err
    (tmp_path / "run" / "report.html").unlink()
    code, out, _ = call(capsys, monkeypatch, "report", out_folder)
    assert code == 0
    assert "held-out score" in out
    assert (tmp_path / "run" / "report.html").exists()
    code, _, err = call(capsys, monkeypatch, "run", "quickstart", *overrides, "--out", out_folder)
    assert code == 2
    assert "holds this run already" in err


def test_the_module_is_the_command() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "preceptor", "recipes"], capture_output=True, text=True, check=True, env=dict(os.environ)
    )
    assert "quickstart" in done.stdout
