"""Small pieces of long work, told as they are finished to whoever shows progress.

The loops that take long (sampling, asking a judge, forward passes) tell how far they are; the command line listens.
Nobody passes a callback through the rooms in between, and where nobody listens nothing happens.
"""

from collections.abc import Callable, Generator
from contextlib import contextmanager
from typing import TypeAlias

Listener: TypeAlias = Callable[[str, int, int], None]
"""Takes what is being done, how many pieces of it are done, and how many there are."""

_listeners: list[Listener] = []


def tick(what: str, done: int, total: int) -> None:
    """Tells that `done` of `total` pieces are finished.

    Args:
        what: the work, as a word for people: "sampling".
    """
    for listener in tuple(_listeners):
        listener(what, done, total)


@contextmanager
def listening(listener: Listener) -> Generator[None]:
    """Inside, the listener is told of every finished piece of work in this process."""
    _listeners.append(listener)
    try:
        yield
    finally:
        _listeners.remove(listener)
