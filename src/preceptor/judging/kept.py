"""Constitutions that work was judged by, kept in its folder: their files may change or vanish later."""

from collections.abc import Iterable
from pathlib import Path

import tomli_w

from preceptor.core.errors import UsageError
from preceptor.judging.constitution import Constitution, load_constitution
from preceptor.store.files import write_text, writing

FOLDER = "constitutions"


def keep_constitutions(folder: Path, constitutions: Iterable[Constitution]) -> None:
    """Writes each constitution to `constitutions/HASH.toml` in the folder of the work, unless it is there.

    Raises: PreceptorError when it cannot be written.
    """
    for constitution in constitutions:
        path = folder / FOLDER / f"{constitution.hash}.toml"
        if not path.exists():
            with writing(path):
                path.parent.mkdir(exist_ok=True)
            write_text(path, constitution_toml(constitution))


def kept_constitutions(folder: Path) -> list[Constitution]:
    """The constitutions kept in the folder of some work. A file that no longer is what its name says is left out."""
    known: list[Constitution] = []
    for path in sorted((folder / FOLDER).glob("*.toml")):
        try:
            constitution = load_constitution(str(path))
        except UsageError:
            continue
        if constitution.hash == path.stem:
            known.append(constitution)
    return known


def constitution_toml(constitution: Constitution) -> str:
    """The whole constitution as TOML, defaults included, so that it keeps its hash when defaults change."""
    return tomli_w.dumps(constitution.model_dump(mode="json", exclude_none=True), multiline_strings=True)
