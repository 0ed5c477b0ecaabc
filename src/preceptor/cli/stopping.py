"""Stopping a command: Ctrl-C, TERM and HUP end it in the same way, with a message that says how to resume."""

import shlex
import signal
import sys
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from types import FrameType

_SIGNALS = tuple(getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name))
"""Windows has no SIGHUP."""


class Stopped(KeyboardInterrupt):
    """A signal asked the process to end."""

    def __init__(self, number: int) -> None:
        super().__init__()
        self.number = number


def listen() -> None:
    """Makes these signals raise `Stopped` in the main thread, so that files and ledgers are closed. A signal that was
    ignored at the start (`nohup`) stays ignored. A second signal of the same kind ends the process at once.
    """
    for number in _SIGNALS:
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, _stop)


def _stop(number: int, _: FrameType | None) -> None:
    signal.signal(number, signal.SIG_DFL)
    raise Stopped(number)


@contextmanager
def going_on_by(*command: str) -> Generator[None]:
    """If the work inside is stopped, the message names this command for resuming, not the original one."""
    try:
        yield
    except KeyboardInterrupt as stop:
        stop.add_note(shlex.join(command))
        raise


def words(stop: KeyboardInterrupt, given: Sequence[str] | None = None) -> str:
    """The message to the user: that the work was interrupted, and the command that resumes it.

    Args:
        given: the command that was interrupted; None means this process's own.
    """
    named = getattr(stop, "__notes__", ())
    given = sys.argv[1:] if given is None else given
    return f"interrupted; resume with: {named[-1] if named else shlex.join(['preceptor', *given])}"


def exit_code(stop: KeyboardInterrupt) -> int:
    """128 plus the signal's number, as shells report it: 130 for Ctrl-C, 143 for TERM, 129 for HUP."""
    return 128 + (stop.number if isinstance(stop, Stopped) else signal.SIGINT)
