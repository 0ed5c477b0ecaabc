"""Breaks long silences: a thread prints what is under way when nothing has been printed for a while."""

import os
import threading
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager

from preceptor.display.terminal import complain

QUIET = 8.0
"""Seconds of silence after which a line is printed. Checked every second, so silence stays below ten seconds."""

Words = Callable[[float], str | None]
"""Takes the seconds since the command began; returns what to print, or None if a progress bar shows it already."""


class Pulse:
    """Keeps track of when something was last printed.

    Args:
        clock: seconds since any fixed moment.
        say: prints a line.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic, say: Callable[[str], None] = complain) -> None:
        self._clock = clock
        self._say = say
        self._begun = self._spoken = clock()
        self._words: Words = _working
        self._beating = False
        self._hushed = False

    def hush(self) -> None:
        """Prints nothing from here on."""
        self._hushed = True

    def spoke(self) -> None:
        """Records that something was printed just now."""
        self._spoken = self._clock()

    @contextmanager
    def telling(self, words: Words) -> Generator[None]:
        """Within the context, these words describe the work under way."""
        kept, self._words = self._words, words
        try:
            yield
        finally:
            self._words = kept

    def beat(self) -> None:
        """Prints what is under way, if nothing was printed for a while."""
        if self._hushed or self._clock() - self._spoken < QUIET:
            return
        self.spoke()
        if (text := self._words(self._clock() - self._begun)) is not None:
            self._say(text)

    @contextmanager
    def beating(self) -> Generator[None]:
        """Within the context, a thread breaks long silences. A nested context starts no second thread. Among several
        processes, only the first one prints.
        """
        if self._beating or os.environ.get("RANK", "0") != "0":
            yield
            return
        over = threading.Event()
        self._begun = self._spoken = self._clock()
        self._beating = True

        def beat() -> None:
            while not over.wait(1.0):
                self.beat()

        thread = threading.Thread(target=beat, daemon=True, name="pulse")
        thread.start()
        try:
            yield
        finally:
            over.set()
            thread.join()
            self._beating = False


def _working(seconds: float) -> str:
    return f"still working: {seconds:.0f} s"


PULSE = Pulse()
"""The process has one pulse, because it has one standard error."""
