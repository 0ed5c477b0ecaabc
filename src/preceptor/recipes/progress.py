"""How a running recipe tells what it is doing. The command line draws it; a program may listen too."""

from typing import Protocol

from preceptor.evaluation.snapshot import Snapshot
from preceptor.training.rl.facts import UpdateFacts


class Progress(Protocol):
    """Listens to a run."""

    def stage(self, name: str) -> None:
        """A part of the work begins, for instance "measuring before training"."""
        ...

    def step(self, step: int, total: int, facts: UpdateFacts) -> None:
        """A training step is finished."""
        ...

    def measured(self, snapshot: Snapshot) -> None:
        """A checkpoint was measured, or read from an earlier process."""
        ...

    def note(self, text: str) -> None:
        """Something a person should know."""
        ...
