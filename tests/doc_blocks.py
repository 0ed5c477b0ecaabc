"""The code blocks of the README and the documentation, and a session that runs the blocks of one page in order.

An invisible comment on the line above a block says what a test does with it:

    <!-- skip: needs a server -->     it is not run; only the names of commands and options are checked
    <!-- add: --set rl.steps=1 -->    it is run with these arguments added to every `preceptor` command

A block with a title, such as ```toml title="judges.toml", is written to that file, which later blocks use.
"""

import os
import re
import shlex
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import typer

from preceptor.cli.app import app
from preceptor.cli.arguments import check_arguments

ROOT = Path(__file__).parent.parent
_RECORDS = ("docs/log.md", "docs/benchmarks.md", "docs/decisions/")
"""What was measured and decided: their commands are of their time."""
_FENCE = re.compile(
    r"(?:^ *<!-- (?P<directive>skip|add): (?P<value>.*?) -->\n)?"
    r"^(?P<indent> *)```(?P<language>\w*)(?: title=\"(?P<title>[^\"]+)\")?\n(?P<code>.*?)^(?P=indent)```$",
    flags=re.MULTILINE | re.DOTALL,
)
SHELL = ("sh", "bash", "console")


@dataclass(frozen=True)
class Block:
    """A code block of a page."""

    page: Path
    line: int
    language: str
    code: str
    directive: str | None
    value: str
    title: str | None
    """The file that the block is written to."""

    @property
    def runs(self) -> bool:
        """Whether a test does something with the block, beyond checking names."""
        return self.directive != "skip" and (self.title is not None or self.language in (*SHELL, "python"))

    @property
    def commands(self) -> list[list[str]]:
        """The words of every `preceptor` command in a shell block."""
        if self.language not in SHELL:
            return []
        lines = [shlex.split(line, comments=True) for line in self.lines]
        return [words[1:] for words in lines if words and words[0] == "preceptor"]

    @property
    def lines(self) -> list[str]:
        """The lines of a shell block; a line that a backslash continues is one."""
        return [line for line in self.code.replace("\\\n", " ").splitlines() if line.strip()]


def blocks(page: Path) -> list[Block]:
    """All code blocks of a page, in order."""
    text = page.read_text(encoding="utf-8")
    return [
        Block(
            page=page.relative_to(ROOT),
            line=text.count("\n", 0, match.start("code")),
            language=match["language"],
            code=re.sub(f"^{match['indent']}", "", match["code"], flags=re.MULTILINE),
            directive=match["directive"],
            value=match["value"] or "",
            title=match["title"],
        )
        for match in _FENCE.finditer(text)
    ]


def live_pages() -> dict[str, list[Block]]:
    """The blocks of every page whose commands are of today, by the page's path."""
    files = (ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md")))
    named = {file.relative_to(ROOT).as_posix(): file for file in files}
    return {name: blocks(file) for name, file in named.items() if not name.startswith(_RECORDS)}


def command(words: list[str]) -> tuple[Any, list[str]]:
    """The command that words on a command line call, and the words behind its name."""
    found: Any = typer.main.get_command(app)
    while hasattr(found, "commands"):
        if not words or words[0] not in found.commands:
            raise AssertionError(f"there is no command {' '.join(words) or '(none)'}")
        found, words = found.commands[words[0]], words[1:]
    return found, words


class Session:
    """Runs blocks in a folder that holds the repository's examples, as a reader who follows a page would."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._names: dict[str, Any] = {"__name__": "__main__"}
        shutil.copytree(ROOT / "examples", folder / "examples", ignore=shutil.ignore_patterns("*.ipynb"))

    def follow(self, page: list[Block]) -> None:
        """Runs the blocks of a page that are to be run; the current folder is the session's."""
        for block in page:
            if block.runs:
                print(f"--- {block.page}:{block.line}")
                self._run(block)

    def _run(self, block: Block) -> None:
        if block.title is not None:
            path = self.folder / block.title
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(block.code, encoding="utf-8")
        elif block.language == "python":
            exec(compile("\n" * block.line + block.code, str(block.page), "exec"), self._names)
        else:
            for line in block.lines:
                self._line(line, shlex.split(block.value) if block.directive == "add" else [])

    def _line(self, line: str, more: list[str]) -> None:
        words = shlex.split(line, comments=True)
        if not words:
            return
        if words[0] == "preceptor":
            _preceptor([*words[1:], *more])
        elif words[0] == "cd":
            os.chdir(words[1])
        else:
            subprocess.run(["bash", "-ec", line], check=True)


def _preceptor(words: list[str]) -> None:
    """Runs a command in this process: starting one for each would load the libraries again each time."""
    sys.argv = ["preceptor", *words]
    check_arguments(words)
    try:
        code: Any = app(words, standalone_mode=False)
    except SystemExit as end:
        code = end.code
    assert not code, f"preceptor {shlex.join(words)}: exit code {code}"
