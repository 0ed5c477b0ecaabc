"""Inputs that no person means: each is answered in one line with exit code 2, and none is waited for."""

import json
import os
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from preceptor.cli.app import main
from preceptor.recipes.load import dump_recipe, load_recipe

ROW: dict[str, Any] = {"prompt": "Q?", "response_a": "yes", "response_b": "no", "label": "a"}
RANDOM = ["--judge", "scripted:random", "--out", "out"]
DEEP = "[" * 5000 + "]" * 5000
CONSTITUTION = 'name = "n"\nversion = "1"\nsummary = "s"\nprinciples = ["p"]\n'
JUDGE = '[[judges]]\nmodel = "scripted:random"\n'
CALIBRATION: dict[str, Any] = {
    **{"method": "platt", "slope": 1, "position_bias": 0, "judge": "j", "constitution_hash": "c", "n": 20},
    **{"nll_before": 1, "nll_after": 1},
}
ROWS = (
    ["label", "{}.jsonl", *RANDOM],
    ["audit", "{}.jsonl", *RANDOM],
    ["evaluate", "a={}.jsonl", "b=rows.jsonl", *RANDOM],
    ["evaluate", "a=rows.jsonl", "b=rows.jsonl", "--prompts", "{}.jsonl", *RANDOM],
    ["rubrics", "write", "{}.jsonl", "--out", "out", "--model", "scripted:random"],
    ["rubrics", "audit", "{}.jsonl", *RANDOM],
    ["revise", "{}.jsonl", "--out", "out", "--model", "scripted:random"],
    ["estimate", "{}.jsonl"],
    ["estimate", "rows.jsonl", "--people", "{}.jsonl"],
    ["trajectories", "{}.jsonl"],
    ["agreement", "{}.jsonl"],
    ["cohort", "{}.jsonl", "--out", "cohort.jsonl"],
    ["run", "quickstart", "--set", "prompts={}.jsonl"],
    ["run", "quickstart", "--set", "rewards.functions=['{}.py:f']"],
    ["label", "rows.jsonl", "--judge", "openai:m@http://127.0.0.1:9/v1", "--prices", "{}.toml", "--out", "out"],
    ["run", "sft", "--set", "sft.demonstrations={}.jsonl"],
)
SETTINGS = (
    ["label", "rows.jsonl", "--constitution", "{}.toml", *RANDOM],
    ["label", "rows.jsonl", "--judges", "{}.toml", "--out", "out"],
    ["run", "{}.toml"],
    ["arms", "{}.toml"],
)
JSON = (
    ["label", "rows.jsonl", "--calibration", "{}.json", *RANDOM],
    ["evaluate", "a=rows.jsonl", "b=rows.jsonl", "--audit", "{}.json", *RANDOM],
    ["audit", "rows.jsonl", "--save-calibration", "{}.json", *RANDOM],
)
FILES = [
    (kind, command) for kind in ("pipe", "zero", "folder", "socket", "loop") for command in (*ROWS, *SETTINGS, *JSON)
]
NUMBERS: tuple[str, ...] = (
    *(f"run quickstart --set {key}={value}" for key in ("rl.steps", "seed", "rl.max_new_tokens") for value in (2**64,)),
    *(f"run quickstart --set {key}={value}" for key in ("rl.steps", "seed", "rl.temperature") for value in ("true",)),
    *(f'run quickstart --set {key}="3"' for key in ("rl.steps", "seed", "rl.learning_rate", "limit")),
    *(f"run quickstart --set rl.kl_coefficient={value}" for value in ("nan", "inf", "1e308", "-1")),
    *("run quickstart --set evaluation.stop_early=1", "run rlaif --set judge.variant=sc-99999999999999999999"),
    *("run quickstart --set rl.steps=" + "9" * 5000, "run quickstart --set rl.steps=" + "[" * 5000),
    *("run quickstart --set " + "a." * 5000 + "b=1", "run quickstart --set rl..steps=1"),
    *(f"run quickstart --seed {value}" for value in (10**25, -1)),
    *(f"label rows.jsonl --out out --judge scripted:random --limit {value}" for value in (10**20, 0, "nan")),
    *(f"label rows.jsonl --out out --judge scripted:random --max-failure-rate {value}" for value in ("nan", "inf")),
    "label rows.jsonl --out out --judge scripted:random --variant sc-99999999999999999999",
    "label rows.jsonl --out out --judge scripted:random --variant " + "9" * 5000 + "-shot",
    *(f"label rows.jsonl --out out --policy scripted:random --{key}" for key in ("samples 99999", "temperature nan")),
    *(f"revise rows.jsonl --out out --model scripted:random --{key}" for key in ("rounds 9999999", "seed " + "9" * 25)),
    *(f"estimate rows.jsonl --half-width {value}" for value in ("nan", "inf")),
    "trajectories rows.jsonl --good-step nan",
    "label " + "n" * 300 + ".jsonl --out out",
    "label rows.jsonl --judge scripted:random --out " + "n" * 300,
    "evaluate " + "n" * 300 + " b=rows.jsonl --out out",
    "report " + "n" * 300,
)
WEIGHTS = ("1e308", "inf", "nan", "true", '"1"', "0", "9" * 400)
JUDGES = [
    *(JUDGE + f'variant = "base"\nweight = {weight}\n' for weight in WEIGHTS),
    *(JUDGE + f"[judges.settings]\n{each}\n" for each in ("samples = true", 'seed = "1"', "exemplars = 1e3")),
    *("judges = 1", "judges = [1]", 'x = "', f"x = {DEEP}"),
]
CONSTITUTIONS = [
    *(CONSTITUTION.replace('["p"]', each) for each in ("[]", "[1]", '"p"')),
    *(
        CONSTITUTION + f'[score]\nitem = "{{response}}"\n[[score.choices]]\nanswer = "a"\nvalue = {value}\n'
        '[[score.choices]]\nanswer = "b"\nvalue = 0\n'
        for value in ("1e308", "inf", "true", '"1"')
    ),
]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("hostile")
    (folder / "rows.jsonl").write_text("".join(json.dumps(ROW | {"prompt": f"Q{i}?"}) + "\n" for i in range(3)))
    before = Path.cwd()
    os.chdir(folder)  # the name of a socket is short
    for ending in ("jsonl", "toml", "json", "py"):
        os.mkfifo(f"pipe.{ending}")
        Path(f"zero.{ending}").symlink_to("/dev/zero")
        Path(f"loop.{ending}").symlink_to(f"loop.{ending}")
        Path(f"folder.{ending}").mkdir()
        with socket.socket(socket.AF_UNIX) as opened:
            opened.bind(f"socket.{ending}")
    os.chdir(before)
    return folder


def answer(
    arguments: list[str], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> tuple[int, str]:
    """Exit code and the one line of a command."""
    monkeypatch.setattr(sys, "argv", ["preceptor", *arguments])
    with pytest.raises(SystemExit) as ended:
        main()
    err = capsys.readouterr().err
    assert "Traceback" not in err, err
    [line] = [line for line in err.splitlines() if line.startswith("preceptor: ")]
    assert line.isprintable()
    assert len(line) < 1100
    assert isinstance(ended.value.code, int)
    return ended.value.code, line


def test_only_regular_files_are_read(
    folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(folder)
    for kind, command in FILES:
        code, line = answer([word.format(kind) for word in command], capsys, monkeypatch)
        assert code == 2, (kind, command, line)


def test_numbers_have_bounds_and_are_numbers(
    folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(folder)
    for command in NUMBERS:
        code, line = answer(command.split(" "), capsys, monkeypatch)
        assert code == 2, (command, line)


@pytest.mark.parametrize(("option", "texts"), [("--judges", JUDGES), ("--constitution", CONSTITUTIONS)])
def test_files_of_settings(
    option: str, texts: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "rows.jsonl").write_text(json.dumps(ROW) + "\n")
    monkeypatch.chdir(tmp_path)
    for number, text in enumerate(texts):
        (tmp_path / f"{number}.toml").write_text(text + "\n")
        code, line = answer(["label", "rows.jsonl", option, f"{number}.toml", "--out", "out"], capsys, monkeypatch)
        assert code == 2, (text, line)


def test_calibrations(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "rows.jsonl").write_text(json.dumps(ROW) + "\n")
    monkeypatch.chdir(tmp_path)
    texts = ["[]", "null", "{}", DEEP, json.dumps(CALIBRATION | {"slope": 10**399})]
    texts += [
        json.dumps(CALIBRATION | each) for each in ({"slope": True}, {"slope": "1"}, {"n": 1.0}, {"slope": 1e308})
    ]
    for text in texts:
        (tmp_path / "calibration.json").write_text(text)
        arguments = ["label", "rows.jsonl", "--calibration", "calibration.json", *RANDOM]
        code, line = answer(arguments, capsys, monkeypatch)
        assert code == 2, (text, line)
        arguments = ["audit", "rows.jsonl", "--save-calibration", "calibration.json", *RANDOM]
        code, line = answer(arguments, capsys, monkeypatch)
        assert (code, (tmp_path / "calibration.json").read_text()) == (2, text)
        assert "exists and is not a calibration" in line


@pytest.mark.parametrize(
    "row",
    [
        *(json.dumps(ROW | {"weight": weight}) for weight in (10**399, 10**30, 0, True, "1")),
        json.dumps(ROW).replace('"a"}', "1e999}"),
        json.dumps(ROW | {"metadata": {"x": "DEEP"}}).replace('"DEEP"', DEEP),
        json.dumps(ROW | {"metadata": {"x": "DEEP"}}).replace('"DEEP"', "[" * 700 + "]" * 700),
        f'{{"rankings": [[1, 2], [{10**399}, 2]]}}',
        json.dumps(ROW | {"id": 1}).replace("1}", "9" * 5000 + "}"),
    ],
    ids=lambda row: row[:60] + row[-20:],
)
def test_a_row_with_a_number_or_a_depth_that_nothing_holds_is_malformed(
    row: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "rows.jsonl").write_text(row + "\n")
    monkeypatch.chdir(tmp_path)
    for command in ("label", "audit"):
        code, line = answer([command, "rows.jsonl", *RANDOM], capsys, monkeypatch)
        assert code == 2
        assert "rows.jsonl:1: " in line


@pytest.mark.parametrize("text", ["[]", "1", "null", "{", "", DEEP, '{"status": "done"}'], ids=lambda text: text[:20])
def test_a_file_of_a_run_or_of_labels_that_is_damaged_is_named(
    text: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "rows.jsonl").write_text(json.dumps(ROW) + "\n")
    monkeypatch.chdir(tmp_path)
    run = tmp_path / "run"
    run.mkdir()
    (run / "recipe.toml").write_text(dump_recipe(load_recipe("quickstart")))
    (run / "summary.json").write_text(text)
    code, line = answer(["report", str(run)], capsys, monkeypatch)
    assert code in (1, 2)
    assert "summary.json" in line
    if text.startswith('{"'):
        return
    monkeypatch.setattr(sys, "argv", ["preceptor", "label", "rows.jsonl", *RANDOM])
    with pytest.raises(SystemExit):
        main()
    capsys.readouterr()
    (tmp_path / "out" / "label.json").write_text(text)
    code, line = answer(["label", "rows.jsonl", *RANDOM], capsys, monkeypatch)
    assert code == 1
    assert "label.json: " in line


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no /dev/full")
def test_a_full_disk_behind_standard_output_ends_in_one_line() -> None:
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            [sys.executable, "-m", "preceptor", "recipes"], stdout=full, stderr=subprocess.PIPE, text=True, check=False
        )
    assert done.returncode == 1
    assert done.stderr == "preceptor: No space left on device; fix that and run the same command again\n"
