"""Training steps with regular checkpoints. A killed run goes on as if nothing had happened."""

from collections.abc import Callable
from dataclasses import asdict
from functools import partial
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from preceptor.training.files import RunFiles
from preceptor.training.policy import Policy
from preceptor.training.processes import Processes

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

Facts = TypeVar("Facts", bound="DataclassInstance")


class Learner(Protocol):
    """What updates a policy, with the state that the next step needs beside the policy's weights."""

    def state(self) -> dict[str, Any]:
        """What the next step needs, as tensors and numbers, for torch to save."""
        ...

    def extra(self) -> dict[str, Any]:
        """The rest of the state, for JSON."""
        ...

    def load(self, state: dict[str, Any], extra: dict[str, Any]) -> None:
        """Restores what `state` and `extra` returned."""
        ...


def take_steps(
    policy: Policy,
    learner: Learner,
    steps: int,
    take: Callable[[int], tuple[Facts, dict[str, float]]],
    *,
    files: RunFiles,
    processes: Processes,
    checkpoint_every: int,
    at_checkpoint: Callable[[int], bool],
    on_step: Callable[[int, Facts], None],
) -> int:
    """Takes the steps that the files say are left. Every process calls it with the same arguments.

    Args:
        take: takes a step, given its number, counted from 1; returns the facts of the step, a dataclass without times,
            and the seconds that each part of it took.
        files: after `prepare`.
        at_checkpoint: called in the main process at step 0, at every checkpoint and at the last step, after the
            checkpoint is on disk and again when a restart finds the run there; returns False to stop early.
        on_step: called in the main process after each finished step.

    Returns: the number of finished steps.
    """
    step = 0
    if restored := files.restore(policy):
        step = restored.step
        learner.load(restored.state, restored.extra)

    def checkpoint() -> bool:
        files.save_checkpoint(policy)
        return at_checkpoint(step)

    while True:
        if (step % checkpoint_every == 0 or step == steps) and not processes.on_main(checkpoint):
            return step
        if step == steps:
            return step
        step += 1
        facts, seconds = take(step)
        policy.step = step
        processes.on_main(partial(files.save_step, policy, learner.state(), learner.extra(), asdict(facts), seconds))
        processes.on_main(partial(on_step, step, facts))
