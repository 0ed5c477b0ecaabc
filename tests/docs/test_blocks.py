"""What the README and the documentation say can be done, can be done."""

import itertools
import sys
from pathlib import Path

import pytest

from doc_blocks import PAGES, ROOT, SHELL, Block, Session, blocks, command
from preceptor.recipes.load import load_recipe, shipped_recipes

_NAMED = {str(page.relative_to(ROOT)): blocks(page) for page in PAGES}
_NOT_COMMANDS = ("docs/log.md", "docs/benchmarks.md", "docs/decisions/")
"""Records of what was measured and decided: their commands are of their time."""
_LIVE = {name: found for name, found in _NAMED.items() if not name.startswith(_NOT_COMMANDS)}
_COMMANDS = [(block, words) for found in _LIVE.values() for block in found for words in block.commands]


@pytest.mark.parametrize("page", [name for name, found in _LIVE.items() if any(block.runs for block in found)])
def test_the_blocks_of_a_page_run(page: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", sys.argv)
    session = Session(tmp_path)
    for block in _LIVE[page]:
        if block.runs:
            print(f"--- {page}:{block.line}")
            session.run(block)


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


@pytest.mark.parametrize("page", _LIVE)
def test_every_block_has_a_language(page: str) -> None:
    for block in _LIVE[page]:
        assert block.language in (*SHELL, "python", "toml", "json", "text", "dockerfile"), f"{page}:{block.line}"
