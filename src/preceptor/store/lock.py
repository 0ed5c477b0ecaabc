"""A lock that lets one process at a time work in a folder."""

from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from preceptor.core.errors import PreceptorError
from preceptor.store.files import writing

LOCK = ".lock"
"""The locked file."""


@contextmanager
def exclusive(folder: Path, patience_s: float = 0.0) -> Generator[None]:
    """Locks the folder for this process. The operating system releases the lock however the process ends.

    Args:
        patience_s: seconds to wait for another process that holds the lock.

    Raises: PreceptorError when another process still holds the lock, or the folder cannot be written.
    """
    with writing(folder):
        try:
            held = FileLock(folder / LOCK, timeout=patience_s, thread_local=False).acquire()
        except Timeout as error:
            raise PreceptorError(
                f"{folder}: another process is working in this folder; wait for it or stop it"
            ) from error
    with held:
        yield
