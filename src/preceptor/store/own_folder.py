"""Folders that commands write: each command works only in folders of its own kind and touches no other files.

A marker file says what kind of work a folder holds and which version of preceptor began it. A command accepts a folder
without a marker only if it is empty, or if its files show that an earlier version of preceptor wrote it.
"""

import json
import stat
from collections.abc import Generator
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path
from typing import Any, Literal

from preceptor.core.errors import UsageError
from preceptor.store.files import write_json, writing
from preceptor.store.lock import LOCK, exclusive

Work = Literal[
    "labels",
    "audit",
    "evaluation",
    "estimate",
    "agreement",
    "revision",
    "construction",
    "rubrics",
    "rubric audit",
    "step audit",
    "sweep",
    "comparison",
    "trajectories",
    "studio",
    "service",
    "reproduction",
    "tuning",
]
Training = Literal["run", "arms", "reward model", "judge"]
Kind = Work | Training
MARKER = ".preceptor.json"
_SIGNS: dict[Kind, tuple[str, ...]] = {
    "labels": ("label.json",),
    "audit": ("audit.json",),
    "evaluation": ("evaluate.json",),
    "estimate": ("estimate.json",),
    "agreement": ("agreement.json",),
    "revision": ("sft.jsonl",),
    "construction": ("dropped.jsonl",),
    "rubrics": ("rubrics.jsonl",),
    "rubric audit": ("rubric_audit.json",),
    "step audit": ("step_audit.json",),
    "reward model": ("state",),
    "judge": ("held_out.jsonl",),
    "sweep": ("begun.json",),
    "comparison": ("compare.json",),
    "trajectories": ("trajectories.json",),
    "studio": ("people.sqlite",),
    "service": ("service.json",),
    "reproduction": ("reproduction.json",),
    "tuning": ("tune.json",),
    "run": ("inputs.json",),
    "arms": ("arms",),
}
"""A file or folder in every finished folder of the kind, by which folders without a marker are recognised."""
_LEDGER = ("ledger.sqlite", "ledger.sqlite-wal", "ledger.sqlite-shm")
_BEGINNINGS = {LOCK, MARKER, *_LEDGER, "responses.sqlite", "held_out.sqlite", "checkpoints"}
"""Files that an earlier version may have left if it was killed before it wrote one of `_SIGNS`."""
_BEGUN_RUN = {"recipe.toml", "summary.json", "evaluations", "stages"}
_BARELY_BEGUN = {MARKER, "recipe.toml.partial"}
"""Files that a run leaves if it is killed before it begins."""
_NOBODYS = {".DS_Store", "lost+found", f"{MARKER}.partial"}
"""Files that operating systems put into folders, and a marker that a killed process did not finish."""


@contextmanager
def working_in(folder: Path, kind: Kind) -> Generator[None]:
    """Creates a folder, or continues in one of the same kind, and locks it for this process.

    Raises: UsageError if it is not a folder of this kind; PreceptorError if another process has locked it or it cannot
        be written.
    """
    check_own(folder, kind)
    with writing(folder):
        folder.mkdir(parents=True, exist_ok=True)
    with exclusive(folder):
        mark(folder, kind)
        yield


def mark(folder: Path, kind: Kind) -> None:
    """Writes the marker that says what kind of work a folder holds, unless there is one."""
    if not (folder / MARKER).exists():
        write_json(folder / MARKER, {"kind": kind, "preceptor": version("preceptor")})


def kind_of(folder: Path) -> Kind | None:
    """What kind of work a folder holds: as its marker says, or by a file that only this kind has; None if none."""
    try:
        marked: Any = json.loads((folder / MARKER).read_text(encoding="utf-8"))
        return next((kind for kind in _SIGNS if kind == marked["kind"]), None)
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return next((kind for kind in _SIGNS if any((folder / sign).is_file() for sign in _SIGNS[kind])), None)


def check_own(folder: Path, kind: Kind) -> None:
    """Checks that a command may write into a folder: it does not exist, is empty, or holds work of the same kind.

    Raises: UsageError naming the file that the command did not write.
    """
    try:
        if not folder.exists():
            return
        if not folder.is_dir():
            raise UsageError(f"{folder}: is a file, not a folder; name another one")
        names = sorted({entry.name for entry in folder.iterdir()} - _NOBODYS)
        _check_marker(folder, kind)
        for name in names:
            _check_regular(folder / name)
    except OSError as error:
        raise UsageError(f"{folder}: this folder cannot be used: {error.strerror or error}") from error
    begun = _BEGINNINGS | _BEGUN_RUN if kind in ("run", "arms") else _BEGINNINGS
    if MARKER in names or any(sign in names for sign in _SIGNS[kind]):
        return
    if foreign := [name for name in names if name not in begun]:
        raise UsageError(f"{folder}: holds {foreign[0]}, which this work did not write; name a new or an empty folder")


def check_unused(folder: Path) -> None:
    """Checks that new work may begin in a folder: it does not exist, or it is empty.

    Raises: UsageError naming what it holds.
    """
    try:
        if not folder.exists():
            return
        held = sorted({entry.name for entry in folder.iterdir()} - _NOBODYS - _BARELY_BEGUN) if folder.is_dir() else []
    except OSError as error:
        raise UsageError(f"{folder}: this folder cannot be used: {error.strerror or error}") from error
    if held or not folder.is_dir():
        what = f"it holds {held[0]}" if held else "it is a file"
        raise UsageError(f"{folder}: exists and is not an empty folder ({what}); choose another folder")


def _check_marker(folder: Path, kind: Kind) -> None:
    path = folder / MARKER
    if not path.exists():
        return
    _check_regular(path)
    try:
        marked: Any = json.loads(path.read_text(encoding="utf-8"))
        own_kind, version = marked["kind"], marked["preceptor"]
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise UsageError(f"{path}: is damaged; delete it, and the folder is recognised by its other files") from error
    if own_kind != kind:
        raise UsageError(f"{folder}: holds other work ({own_kind}, by preceptor {version}); name another folder")


def _check_regular(path: Path) -> None:
    """Raises: UsageError for a pipe, a device or a socket where a file may be read or written."""
    mode = path.stat().st_mode if path.exists() else stat.S_IFREG  # opening a dangling link fails later
    if not stat.S_ISREG(mode) and not stat.S_ISDIR(mode):
        raise UsageError(f"{path}: is a pipe, a device or a socket, not a file; name another folder")
