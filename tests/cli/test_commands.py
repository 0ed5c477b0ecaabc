"""The command line as a person meets it: one-line errors, exit codes, JSON on standard output."""

import json
import os
import re
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest
from typer.core import TyperGroup
from typer.main import get_command

import preceptor
from preceptor.cli.app import app, main
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
        (["label", "--limt", "3"], 2, "see `preceptor label --help`"),
        (["label", "x.jsonl", "--out", "y", "--limit", "0"], 2, "see `preceptor label --help`"),
        (["train", "reward", "--foo"], 2, "see `preceptor train reward --help`"),
        (["run", "nowhere"], 2, ", or give the path of a .toml"),
        (["label", "x.jsonl", "--out", "y", "--judge", "nowhere"], 2, '"nowhere"; expected embedded, hf:'),
        (["label", "x.jsonl", "--out", "y", "--constitution", "helpfull"], 2, 'did you mean "helpful"?'),
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


def commands(group: object) -> dict[str, Any]:
    assert isinstance(group, TyperGroup)
    return dict(group.commands)


COMMANDS = commands(get_command(app))
GROUPS = ("train", "rubrics", "engine")
SUBCOMMANDS = [[group, name] for group in GROUPS for name in commands(COMMANDS[group])]
PANELS = {
    "Start": ["init"],
    "Judge": ["label", "audit", "tune", "agreement", "estimate", "rubrics"],
    "Train": ["run", "arms", "revise", "construct", "train", "engine"],
    "Evaluate": ["evaluate", "sweep", "compare", "trajectories", "reproduce"],
    "People": ["studio"],
    "Serve": ["serve"],
    "Data": ["cohort", "publish"],
    "Info": ["recipes", "models", "report"],
}


def test_help_names_every_command(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    code, out, _ = call(capsys, monkeypatch, "--help")
    assert code == 0
    assert sorted(name for names in PANELS.values() for name in names) == sorted(COMMANDS)
    _, *panels = out.split("╭─ ")
    listed = {panel.split(" ", 1)[0]: re.findall(r"(?m)^│ ([a-z]+)  ", panel) for panel in panels}
    assert {name: commands for name, commands in listed.items() if name != "Options"} == PANELS


@pytest.mark.parametrize("command", [*([name] for name in COMMANDS if name not in GROUPS), *SUBCOMMANDS])
def test_help_of_a_command_names_every_option(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, command: list[str]
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    code, out, _ = call(capsys, monkeypatch, *command, "--help")
    assert code == 0
    assert max(map(len, out.splitlines())) <= 80
    found = COMMANDS[command[0]] if len(command) == 1 else commands(COMMANDS[command[0]])[command[1]]
    for option in found.params:
        assert option.help, option.name
        for name in option.opts if option.param_type_name == "option" else []:
            assert re.search(rf"{name}\b", out), name
    assert ("--json" in out) == (command not in (["studio"], ["serve"]))  # a server prints no result


@pytest.mark.parametrize("command", [*([name] for name in COMMANDS), *SUBCOMMANDS, []])
def test_help_names_values_and_arguments_in_words(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, command: list[str]
) -> None:
    monkeypatch.setenv("COLUMNS", "120")
    _, out, _ = call(capsys, monkeypatch, *command, "--help")
    assert not re.search(r"<[a-zA-Z]|[{}]", out)  # neither <int range> nor {data}


@pytest.mark.parametrize(
    ("command", "usage"),
    [
        ("label", "[OPTIONS] DATA"),
        ("evaluate", "[OPTIONS] POLICY..."),
        ("compare", "[OPTIONS] RUN..."),
        ("run", "[OPTIONS] [RECIPE]"),
        ("init", "[OPTIONS] [FOLDER]"),
    ],
)
def test_the_usage_line(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, command: str, usage: str
) -> None:
    _, out, _ = call(capsys, monkeypatch, command, "--help")
    assert re.search(rf"{command} {re.escape(usage)} *\n", out)


def test_square_brackets_in_help_are_no_markup(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    _, out, _ = call(capsys, monkeypatch, "label", "--help")
    assert "[[judges]]" in out
    assert "\\[" not in out


def test_the_version(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    assert call(capsys, monkeypatch, "--version") == (0, f"preceptor {preceptor.__version__}\n", "")


def test_every_command_breaks_long_silences(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["preceptor"])
    running: list[str] = []
    with pytest.raises(SystemExit):
        main(lambda **_: running.extend(thread.name for thread in threading.enumerate()))
    assert "pulse" in running


@pytest.mark.parametrize(
    ("typed", "completed"),
    [
        ("preceptor run qui", "quickstart"),
        ("preceptor run quickstart --scale ti", "tiny"),
        ("preceptor label x --constitution harml", "harmless"),
        ("preceptor arms war", "warm_tone"),
        ("preceptor eval", "evaluate"),
    ],
)
def test_shells_complete_names(typed: str, completed: str) -> None:
    words = {"_PRECEPTOR_COMPLETE": "complete_bash", "COMP_WORDS": typed, "COMP_CWORD": str(len(typed.split()) - 1)}
    program = "import sys; sys.argv = ['preceptor']; from preceptor.cli.app import main; main()"
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=False, env={**os.environ, **words}
    )
    assert completed in done.stdout.split(), done.stderr


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
        (["sweep", "nowhere"], ""),
        ([*LABEL, "nowhere", "--dry-run"], "numpy, scipy, pyarrow, jinja2"),
        ([*LABEL, "here"], "pandas, scipy"),
    ],
    ids=["help", "recipes", "run", "sweep", "dry run", "label"],
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


def test_quiet_and_verbose(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    code, out, err = call(capsys, monkeypatch, *LABEL, str(tmp_path / "a"), "--quiet")
    assert (code, err) == (0, "")
    assert "preferences" in out
    code, _, err = call(capsys, monkeypatch, *LABEL, str(tmp_path / "b"), "--quiet", "--verbose")
    assert code == 2
    assert not (tmp_path / "b").exists()


def test_verbose_shows_the_log(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "preceptor", *LABEL, str(tmp_path / "out"), "--verbose"],
        capture_output=True,
        text=True,
        check=True,
    )
    logged = [line.split(" ", 2)[2] for line in (tmp_path / "out" / "log.txt").read_text().splitlines()]
    shown = [line.split(" ", 1)[1] for line in done.stderr.splitlines()]
    assert shown == ["reading the data", "opening the models", *logged]  # before the log, the work may be refused
    assert any("24 calls" in line or "48 calls" in line for line in logged)


def test_verbose_shows_the_events_of_work_that_keeps_no_log_file(tmp_path: Path) -> None:
    revise = ["revise", str(COMPARISONS.with_name("prompts.jsonl")), "--model", "scripted:random", "--limit", "2"]
    done = subprocess.run(
        [sys.executable, "-m", "preceptor", *revise, "--out", str(tmp_path / "out"), "--verbose"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert [line.split(" ", 1)[1] for line in done.stderr.splitlines() if re.match(r"\d\d:\d\d:\d\d ", line)][-2:] == [
        "revising",
        "2/2",
    ]


def test_what_init_writes_can_be_run(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    code, out, _ = call(capsys, monkeypatch, "init", str(tmp_path / "mine"))
    assert code == 0
    assert "README.md" in out
    monkeypatch.chdir(tmp_path / "mine")
    small = ["limit=40", "rl.steps=1", "rl.prompts_per_step=2", "rl.group_size=2", "rl.max_new_tokens=4"]
    small += ["evaluation.samples_per_prompt=1", "evaluation.max_new_tokens=4"]
    overrides = [part for setting in small for part in ("--set", setting)]
    code, out, err = call(capsys, monkeypatch, "run", "recipe.toml", *overrides, "--out", "run", "--json")
    assert code == 0, err
    summary = json.loads(out)
    assert summary["status"] == "done"
    assert summary["recipe"]["policy"] == "embedded"
    assert "friendly" in Path("run/report.html").read_text()
    code, _, err = call(capsys, monkeypatch, "init")
    assert code == 2
    assert "already exists" in err


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
    assert "already holds this run" in err


def test_the_module_is_the_command() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "preceptor", "recipes"], capture_output=True, text=True, check=True, env=dict(os.environ)
    )
    assert "quickstart" in done.stdout
