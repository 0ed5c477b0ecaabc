"""Work for somebody who may go away before it is done: whoever does the work can ask, and is told."""

import threading
from collections.abc import Callable, Generator
from contextlib import contextmanager
from contextvars import ContextVar


class Work:
    """Some work that another thread does, and whether its result is still wanted."""

    def __init__(self) -> None:
        self.wanted = True
        self._lock = threading.Lock()
        self._told: list[Callable[[], None]] = []

    def abandon(self) -> None:
        """Says that nobody wants the result any more. May be called from any thread."""
        with self._lock:
            self.wanted = False
            told = list(self._told)
        for tell in told:
            tell()

    @contextmanager
    def telling(self, tell: Callable[[], None]) -> Generator[None]:
        """Within the context, `tell` is called when the work is abandoned, in the thread that does so."""
        with self._lock:
            self._told.append(tell)
        try:
            yield
        finally:
            with self._lock:
                self._told.remove(tell)

    @contextmanager
    def under_way(self) -> Generator[None]:
        """Within the context, this is the current work of the thread."""
        before = _current.set(self)
        try:
            yield
        finally:
            _current.reset(before)


_FOR_GOOD = Work()
"""Work that nobody can abandon."""
_current: ContextVar[Work] = ContextVar("work", default=_FOR_GOOD)


def current_work() -> Work:
    """The work that this thread does."""
    return _current.get()
