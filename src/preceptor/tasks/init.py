"""A starter folder: a constitution with every field explained, prompts, a recipe that uses them, and a README."""

import re
from importlib.resources import files
from pathlib import Path

from preceptor.core.errors import UsageError
from preceptor.results.shipped import InitResult
from preceptor.store.files import write_text, writing

FILES = ("README.md", "constitution.toml", "prompts.jsonl", "recipe.toml")
EVERY = 4
"""Every fourth of the short everyday prompts is written."""


def init(folder: str | Path = ".") -> InitResult:
    """Writes a starter folder: a constitution with every field explained, prompts, a recipe that uses them, a README.

    Examples:
        >>> import tempfile
        >>> init(tempfile.mkdtemp()).files
        ('README.md', 'constitution.toml', 'prompts.jsonl', 'recipe.toml')

    Args:
        folder: made if it does not exist; the current folder by default.

    Raises: UsageError if the folder already holds one of the files; PreceptorError if it cannot be written.
    """
    folder = Path(folder)
    for name in FILES:
        if (folder / name).exists():
            raise UsageError(f"{folder / name}: already exists; name another folder")
    with writing(folder):
        folder.mkdir(parents=True, exist_ok=True)
    for name in FILES:
        write_text(folder / name, _text(name))
    commands = re.findall(r"^ +(preceptor .+)$", _text("README.md"), re.MULTILINE)
    return InitResult(folder=folder, files=FILES, commands=tuple(commands))


def _text(name: str) -> str:
    if name != "prompts.jsonl":
        return files("preceptor.tasks").joinpath("starter", name).read_text(encoding="utf-8")
    prompts = files("preceptor.data").joinpath("everyday_prompts_short.jsonl").read_text(encoding="utf-8")
    return "".join(prompts.splitlines(keepends=True)[::EVERY])
