"""How work reports what it is doing: one protocol for tasks and runs. `preceptor.display` shows it to a person."""

from collections.abc import Mapping, Sequence
from typing import Protocol

from preceptor.core.outlook import Part

Facts = Mapping[str, float | None]
"""Numbers by name. A training step reports reward, kl, loss, accuracy and so on, depending on the method."""


class Progress(Protocol):
    """Listens to a task or a run."""

    def plan(self, parts: Sequence[Part]) -> None:
        """Announces the parts of the remaining work, from which the time left is estimated."""
        ...

    def stage(self, name: str) -> None:
        """A stage begins, for instance "measuring before training"."""
        ...

    def advance(self, done: int, total: int, facts: str = "") -> None:
        """`done` of the stage's `total` pieces are finished; `facts` is a remark, for instance "3 failed"."""
        ...

    def step(self, step: int, total: int, facts: Facts) -> None:
        """A training step is finished."""
        ...

    def measured(self, step: int, facts: Facts) -> None:
        """The checkpoint of a step was measured, now or by an earlier process.

        Args:
            facts: see `Snapshot.facts`.
        """
        ...

    def note(self, text: str) -> None:
        """Something a person should know."""
        ...


class Silence:
    """Ignores all progress: for tests, and for processes other than the main one."""

    def plan(self, parts: Sequence[Part]) -> None:
        """Does nothing."""

    def stage(self, name: str) -> None:
        """Does nothing."""

    def advance(self, done: int, total: int, facts: str = "") -> None:
        """Does nothing."""

    def step(self, step: int, total: int, facts: Facts) -> None:
        """Does nothing."""

    def measured(self, step: int, facts: Facts) -> None:
        """Does nothing."""

    def note(self, text: str) -> None:
        """Does nothing."""
