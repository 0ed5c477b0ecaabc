"""Progress of long work, reported piece by piece to whoever displays it.

Long loops (sampling, asking a judge, forward passes) report their progress, and the command line listens. No callback
is passed through the rooms in between, and if nobody listens, nothing happens.
"""

from collections.abc import Callable, Generator
from contextlib import contextmanager
from typing import TypeAlias

Listener: TypeAlias = Callable[[str, int, int], None]
"""Is called with the name of the work, the number of finished pieces, and the number of all pieces."""

_listeners: list[Listener] = []


def tick(what: str, done: int, total: int) -> None:
    """Reports that `done` of `total` pieces are finished.

    Args:
        what: the work, as a word for people: "sampling".
    """
    for listener in tuple(_listeners):
        listener(what, done, total)


@contextmanager
def listening(listener: Listener) -> Generator[None]:
    """Within the context, the listener is called after every finished piece of work in this process."""
    _listeners.append(listener)
    try:
        yield
    finally:
        _listeners.remove(listener)
