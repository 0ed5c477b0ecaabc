"""What the README and the documentation say can be done, can be done."""

import itertools
import sys
from pathlib import Path

import pytest

from doc_blocks import SHELL, Block, Session, command, live_pages
from preceptor.recipes.load import load_recipe, shipped_recipes

_PAGES = live_pages()
_COMMANDS = [(block, words) for page in _PAGES.values() for block in page for words in block.commands]
_RUN = [name for name, page in _PAGES.items() if "/tutorials/" not in name and any(block.runs for block in page)]


@pytest.mark.parametrize("name", _RUN)
def test_the_blocks_of_a_page_run(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", sys.argv)
    Session(tmp_path).follow(_PAGES[name])


@pytest.mark.parametrize(("block", "words"), _COMMANDS, ids=[f"{b.page}:{b.line}" for b, _ in _COMMANDS])
def test_every_command_and_option_exists(block: Block, words: list[str]) -> None:
    known, rest = command(words)
    options = {option for parameter in known.params for option in parameter.opts} | {"--help"}
    for word in rest:
        name = word.partition("=")[0]
        assert not name.startswith("-") or name in options, f"{block.page}:{block.line}: {name}"


def test_every_setting_of_a_shipped_recipe_is_valid() -> None:
    runs = [
        words[1:] for _, words in _COMMANDS if words[0] == "run" and len(words) > 1 and words[1] in shipped_recipes()
    ]
    assert runs
    for name, *rest in runs:
        overrides = [value for option, value in itertools.pairwise(rest) if option == "--set"]
        assert load_recipe(name, overrides), (name, overrides)


@pytest.mark.parametrize("name", _PAGES)
def test_every_block_has_a_language(name: str) -> None:
    for block in _PAGES[name]:
        assert block.language in (*SHELL, "python", "toml", "json", "text"), f"{name}:{block.line}"
