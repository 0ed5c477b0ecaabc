"""How a running recipe tells what it is doing. The command line draws it; a program may listen too."""

from collections.abc import Mapping, Sequence
from typing import Protocol

from preceptor.evaluation.snapshot import Snapshot
from preceptor.runs.outlook import Part

Facts = Mapping[str, float | None]
"""What a training step saw and did, by name: reward, kl, loss, accuracy and so on, as the method has them."""


class Progress(Protocol):
    """Listens to a run."""

    def plan(self, parts: Sequence[Part]) -> None:
        """What the run will do from here on, so that it can be said how long that takes."""
        ...

    def stage(self, name: str) -> None:
        """A part of the work begins, for instance "measuring before training"."""
        ...

    def advance(self, done: int, total: int) -> None:
        """So much of the part is done."""
        ...

    def step(self, step: int, total: int, facts: Facts) -> None:
        """A training step is finished."""
        ...

    def measured(self, snapshot: Snapshot) -> None:
        """A checkpoint was measured, or read from an earlier process."""
        ...

    def note(self, text: str) -> None:
        """Something a person should know."""
        ...


class Silence:
    """Tells nobody: for the processes beside the main one."""

    def plan(self, parts: Sequence[Part]) -> None:
        """Says nothing."""

    def stage(self, name: str) -> None:
        """Says nothing."""

    def advance(self, done: int, total: int) -> None:
        """Says nothing."""

    def step(self, step: int, total: int, facts: Facts) -> None:
        """Says nothing."""

    def measured(self, snapshot: Snapshot) -> None:
        """Says nothing."""

    def note(self, text: str) -> None:
        """Says nothing."""
