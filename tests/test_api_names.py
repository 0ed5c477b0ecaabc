"""The public names: they exist, they are typed, and importing preceptor loads nothing heavy."""

import ast
import importlib
import re
import subprocess
import sys
from importlib.resources import files
from pathlib import Path

import preceptor
from preceptor.cli.app import PANELS


def test_every_public_name_exists_and_is_listed() -> None:
    for name in preceptor.__all__:
        assert getattr(preceptor, name) is not None
    assert set(preceptor.__all__) <= set(dir(preceptor))
    assert sorted(set(preceptor.__all__)) == sorted(preceptor.__all__)


def test_names_are_what_their_modules_define() -> None:
    types = importlib.import_module("preceptor.core.types")
    assert preceptor.Preference is types.Preference
    assert preceptor.__version__.startswith("0.")


def test_the_package_says_that_it_is_typed() -> None:
    assert files("preceptor").joinpath("py.typed").is_file()


def test_import_loads_nothing_heavy() -> None:
    heavy = ("torch", "transformers", "numpy", "pydantic", "typer", "importlib.metadata")
    code = f"import sys, preceptor; print([name for name in {heavy!r} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-S", "-c", code], capture_output=True, text=True, check=False)
    if "No module named 'preceptor'" in done.stderr:  # installed by a .pth file, which -S leaves out
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]", done.stderr


def test_messages_name_options_only_inside_a_whole_command_or_beside_the_keyword() -> None:
    """Programs read the same messages as those who type commands."""
    library = files("preceptor")
    named: list[str] = []
    for room in ("tasks", "methods", "judging", "results", "evaluation", "store", "runs"):
        for file in Path(str(library.joinpath(room))).rglob("*.py"):
            for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
                if isinstance(node, ast.Raise) and re.search(r"--[a-z]", text := ast.unparse(node)):
                    named += [] if "`preceptor " in text or "prices=" in text else [f"{file.name}: {text}"]
    assert named == []


def test_whatever_a_command_does_a_function_does() -> None:
    named = {
        "recipes": "list_recipes",
        "studio": "open_studio",
        "serve": "open_service",
    }  # `preceptor.recipes` is a package
    commands = [command.__name__ for panel in PANELS.values() for command in panel]
    assert {"report", "init", "recipes", "models", "label"} <= set(commands)
    assert [name for name in commands if named.get(name, name) not in preceptor.__all__] == []
