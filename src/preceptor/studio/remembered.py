"""Remembers what was read from files until they change."""

from collections.abc import Callable, Hashable
from pathlib import Path
from threading import Lock
from typing import TypeVar, cast

from preceptor.core.errors import PreceptorError

T = TypeVar("T")


class Remembered:
    """Values by key, each made anew when its mark has changed. Only the latest are kept. Threads may share it."""

    def __init__(self, most: int) -> None:
        """most: how many values are kept."""
        self._most = most
        self._lock = Lock()
        self._kept: dict[Hashable, tuple[object, object]] = {}

    def get(self, key: Hashable, mark: object, make: Callable[[], T]) -> T:
        """The value of a key.

        Args:
            mark: equal as long as the value stays right, such as the state of a file.
            make: makes the value; an error is raised and not remembered.
        """
        with self._lock:
            known = self._kept.get(key)
        if known is not None and known[0] == mark:
            return cast("T", known[1])
        made = make()
        with self._lock:
            self._kept.pop(key, None)
            self._kept[key] = (mark, made)
            while len(self._kept) > self._most:
                self._kept.pop(next(iter(self._kept)))
        return made


def state_of(file: Path) -> tuple[int, int, int]:
    """Time, size and inode of a file; they change whenever it does.

    Raises: PreceptorError if it is not there.
    """
    try:
        status = file.stat()
    except OSError as error:
        raise PreceptorError(f"{file}: cannot be read: {error.strerror or error}") from error
    return status.st_mtime_ns, status.st_size, status.st_ino
