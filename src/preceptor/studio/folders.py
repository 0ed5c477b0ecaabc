"""The folders that the studio shows. Pages name a folder by its name in this list, never by a path."""

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from threading import Lock
from typing import TypeVar

from preceptor.core.errors import UsageError
from preceptor.store.own_folder import Kind, kind_of
from preceptor.studio.remembered import Remembered, state_of

T = TypeVar("T")
_DEPTH = 5
"""How deep below a given folder work is looked for."""
_MOST = 2000
"""Folders looked at below a given one, so that naming a home directory by mistake ends; also files remembered."""
_FRESH_S = 5.0


@dataclass(frozen=True)
class Work:
    """A folder that a command of preceptor wrote."""

    name: str
    """Unique in the studio: its path from the parent of the given folder."""
    path: Path
    kind: Kind

    @property
    def changed(self) -> float:
        """When something in the folder last changed, in seconds since 1970."""
        try:
            return max(entry.stat().st_mtime for entry in (self.path, *self.path.iterdir()))
        except OSError:
            return 0.0


class Library:
    """The work in the given folders and below them."""

    def __init__(self, folders: Sequence[Path]) -> None:
        """Raises: UsageError for a folder that does not exist."""
        for folder in folders:
            if not folder.is_dir():
                raise UsageError(f"{folder}: no such folder; name folders that preceptor wrote, or one that holds them")
        self.folders = tuple(folder.resolve() for folder in folders)
        self._lock = Lock()
        self._looked = -_FRESH_S
        self._works: tuple[Work, ...] = ()
        self._read = Remembered(_MOST)

    def works(self, *kinds: Kind) -> tuple[Work, ...]:
        """All work of these kinds, or of every kind, by name. Looks again when the last look is 5 seconds old."""
        with self._lock:
            if time.monotonic() - self._looked >= _FRESH_S:
                self._works = tuple(sorted(self._look(), key=lambda work: work.name))
                self._looked = time.monotonic()
        return tuple(work for work in self._works if not kinds or work.kind in kinds)

    def find(self, name: str) -> Work | None:
        """The work of this name; None if there is none."""
        return next((work for work in self.works() if work.name == name), None)

    def remembered(self, what: str, file: Path, read: Callable[[], T]) -> T:
        """What is read from a file; read again once the file has changed.

        Args:
            what: names what is read, since one file may be read for several purposes.
            read: reads it; an error is raised and not remembered.

        Raises: PreceptorError if the file is not there.
        """
        return self._read.get((what, file), state_of(file), read)

    def _look(self) -> Iterator[Work]:
        seen: set[Path] = set()
        names: set[str] = set()
        for folder in self.folders:
            for path, kind in _below(folder, _DEPTH, [_MOST]):
                if path in seen:
                    continue
                seen.add(path)
                plain = name_of(path, folder)
                name, number = plain, 2
                while name in names:
                    name, number = f"{plain} ({number})", number + 1
                names.add(name)
                yield Work(name, path, kind)


def name_of(path: Path, folder: Path) -> str:
    """The path from the parent of a given folder; what is not valid Unicode in it is replaced."""
    return path.relative_to(folder.parent).as_posix().encode("utf-8", "replace").decode()


def _below(folder: Path, depth: int, left: list[int]) -> Iterator[tuple[Path, Kind]]:
    """The work in a folder and below it. Links are not followed, since they may lead out of the given folders."""
    left[0] -= 1
    if left[0] < 0:
        return
    kind = kind_of(folder)
    if kind is not None:
        yield folder, kind
    if not depth:
        return
    try:
        inner = sorted(entry for entry in folder.iterdir() if entry.is_dir() and not entry.is_symlink())
    except OSError:
        return
    for entry in inner:
        if not entry.name.startswith(".") and entry.name not in ("checkpoints", "state", "stages"):
            yield from _below(entry, depth - 1, left)
