"""Training steps with regular checkpoints. A killed run continues as if it had not been interrupted."""

from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import partial
from typing import TYPE_CHECKING, Protocol, TypeVar

from preceptor.core.types import JsonObject
from preceptor.training.files import RunFiles
from preceptor.training.policy import Policy
from preceptor.training.processes import Processes
from preceptor.training.state import TorchState

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

Facts = TypeVar("Facts", bound="DataclassInstance")


@dataclass(frozen=True)
class Checkpointing:
    """Where a training keeps its state and its checkpoints, and how often it writes one."""

    files: RunFiles
    every: int
    """Steps from one checkpoint to the next."""
    at_checkpoint: Callable[[int], bool]
    """Called in the main process at step 0, at every checkpoint and at the last step, after the checkpoint is on disk
    and again when a restart finds the run there; returns False to stop early."""


@dataclass(frozen=True)
class TrainingContext:
    """What a training is given besides its policy, its data and its settings."""

    checkpoints: Checkpointing
    seed: int
    """Of everything random."""
    processes: Processes
    """Those that train together; every one of them calls the training."""


class Learner(Protocol):
    """Updates a policy, and holds the state that the next step needs besides the policy's weights."""

    def state(self) -> TorchState:
        """What the next step needs, as tensors and numbers, for torch to save."""
        ...

    def extra(self) -> JsonObject:
        """The rest of the state, for JSON."""
        ...

    def load(self, state: TorchState, extra: JsonObject) -> None:
        """Restores what `state` and `extra` returned."""
        ...


def take_steps(
    policy: Policy,
    learner: Learner,
    steps: int,
    take: Callable[[int], tuple[Facts, dict[str, float]]],
    context: TrainingContext,
    *,
    on_step: Callable[[int, Facts], None],
) -> int:
    """Takes the remaining steps, according to the files. Every process calls it with the same arguments.

    Args:
        take: takes a step, given its number, counted from 1; returns the facts of the step, a dataclass without times,
            and the seconds that each part of it took.
        context: the files of its checkpoints after `prepare`.
        on_step: called in the main process after each finished step.

    Returns: the number of finished steps.
    """
    checkpoints, processes = context.checkpoints, context.processes
    step, files = 0, checkpoints.files
    if restored := files.restore(policy):
        step = restored.step
        learner.load(restored.state, restored.extra)

    def checkpoint() -> bool:
        files.save_checkpoint(policy)
        return checkpoints.at_checkpoint(step)

    while True:
        if (step % checkpoints.every == 0 or step == steps) and not processes.on_main(checkpoint):
            return step
        if step == steps:
            return step
        step += 1
        facts, seconds = take(step)
        policy.step = step
        processes.on_main(partial(files.save_step, policy, learner.state(), learner.extra(), row_of(facts), seconds))
        processes.on_main(partial(on_step, step, facts))


def row_of(facts: "DataclassInstance") -> JsonObject:
    """The facts for JSON; a table without entries is left out."""
    return {name: value for name, value in asdict(facts).items() if value != {}}
