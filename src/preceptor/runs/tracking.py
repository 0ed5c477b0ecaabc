"""Reports each training step: to the progress display, and to a tracker if one is named."""

from collections.abc import Callable, Generator, Mapping
from contextlib import ExitStack, contextmanager
from typing import Any, TypeAlias

from preceptor.recipes.load import recipe_data
from preceptor.runs.session import Session
from preceptor.training.tracking import Tracker

Track: TypeAlias = Callable[[int, int, Mapping[str, Any]], None]
"""Takes the number of a step, the total number of steps, and the facts of the step."""


@contextmanager
def tracked(session: Session, part: str) -> Generator[Track]:
    """A function that reports training steps. Only the main process reports.

    Args:
        part: a part of the run, for instance "rl"; the prefix of the numbers' names.
    """
    settings = session.recipe.tracking
    trackers: list[Tracker] = []
    with ExitStack() as stack:

        def open_tracker() -> None:
            tracker = Tracker(settings.tracker, settings.project, session.directory.path, recipe_data(session.recipe))
            stack.callback(tracker.finish)
            trackers.append(tracker)

        session.processes.on_main(open_tracker)

        def track(step: int, total: int, facts: Mapping[str, Any]) -> None:
            numbers = {name: value for name, value in facts.items() if value is None or isinstance(value, int | float)}
            session.progress.step(step, total, numbers)
            for tracker in trackers:
                tracker.log({f"{part}/{name}": value for name, value in numbers.items()}, step)

        yield track
