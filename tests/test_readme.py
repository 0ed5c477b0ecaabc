"""What the README says can be done, can be done."""

import itertools
import re
import shlex
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from preceptor.judging.specs import JudgesFile
from preceptor.recipes.load import load_recipe, shipped_recipes

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")


def commands() -> list[list[str]]:
    joined = README.replace("\\\n", " ")
    lines = re.findall(
        r"^preceptor (?:run|arms|train reward|label|audit|revise|recipes|models|report|evaluate|sweep|compare|estimate"
        r"|agreement|trajectories|cohort)\b.*$",
        joined,
        flags=re.MULTILINE,
    )
    split = [shlex.split(line, comments=True)[1:] for line in lines]
    return [["train reward", *words[2:]] if words[0] == "train" else words for words in split]


def test_every_shipped_recipe_is_named() -> None:
    for name in shipped_recipes():
        assert f"`{name}`" in README, name


def test_the_file_of_judges_is_one() -> None:
    [judges] = re.findall(r"^```toml\n(.*?)^```", README, flags=re.MULTILINE | re.DOTALL)
    assert len(JudgesFile.model_validate(tomllib.loads(judges)).judges) == 2


def test_every_file_it_links_to_exists() -> None:
    for target in re.findall(r"\]\(([^)#]+)\)", README):
        assert (ROOT / target).exists(), target


def test_every_make_target_exists() -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    for target in set(re.findall(r"`?make (\w+)`?", README)) - {"PYTHON"}:
        assert re.search(rf"^{target}:", makefile, flags=re.MULTILINE), target


@pytest.mark.parametrize(
    "arguments", [c for c in commands() if c[0] == "run" and c[1] in shipped_recipes()], ids=" ".join
)
def test_every_run_command_has_valid_settings(arguments: list[str]) -> None:
    overrides = [value for option, value in itertools.pairwise(arguments) if option == "--set"]
    assert load_recipe(arguments[1], overrides)


@pytest.mark.parametrize("command", sorted({c[0] for c in commands()}))
def test_every_option_it_uses_is_in_the_help(command: str) -> None:
    help_text = subprocess.run(
        [sys.executable, "-m", "preceptor", *command.split(), "--help"],
        capture_output=True, text=True, check=True, env={"COLUMNS": "200", "PATH": "", "NO_COLOR": "1"},
    ).stdout  # fmt: skip
    for arguments in commands():
        if arguments[0] == command:
            for option in (a for a in arguments if a.startswith("--")):
                assert option in help_text, option


def test_public_material_has_no_open_ends() -> None:
    assert "@@" not in README
