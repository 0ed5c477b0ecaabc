"""The progress shown when the caller passes none."""

from collections.abc import Generator
from contextlib import contextmanager

from preceptor.core.progress import Progress


@contextmanager
def shown(progress: Progress | None) -> Generator[Progress]:
    """The given progress, unchanged; for None a new display, which lasts as long as the context.

    The display is a bar on a terminal and lines elsewhere, on standard error.
    """
    if progress is not None:
        yield progress
        return
    from preceptor.display.screen import Display  # imports rich

    with Display() as display:
        yield display
