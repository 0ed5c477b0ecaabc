"""One process at a time in a run directory."""

import fcntl
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

from preceptor.core.errors import PreceptorError
from preceptor.store.files import writing

LOCK = ".lock"
"""The file that is held."""


@contextmanager
def exclusive(folder: Path) -> Generator[None]:
    """Holds the folder for this process; the operating system lets go of it however the process ends.

    Raises: PreceptorError when another process holds it.
    """
    with writing(folder):
        stream = (folder / LOCK).open("w")
    with stream:
        try:
            fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise PreceptorError(f"{folder}: another process is working in this run; wait for it or stop it") from error
        yield
