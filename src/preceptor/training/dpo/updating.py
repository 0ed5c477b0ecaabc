"""Updates of a policy from preferences, whatever their loss: batches, gradients, steps."""

import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Generic, Protocol, TypeVar

import torch
from torch import Tensor

from preceptor.backends.transformers.attention import tokens_at_once
from preceptor.core.types import JsonObject
from preceptor.training.dpo.settings import DpoSettings
from preceptor.training.gradients import accumulate, parts_to_learn
from preceptor.training.memory import memory_for
from preceptor.training.optimizer import Optimizer
from preceptor.training.packed import TokenGroup
from preceptor.training.policy import FOR_LESS_MEMORY, Policy
from preceptor.training.processes import Processes
from preceptor.training.state import TorchState
from preceptor.training.steps import TrainingContext, take_steps

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

Facts = TypeVar("Facts", bound="DataclassInstance")


class _Row(Protocol):
    @property
    def loss(self) -> float: ...


Seen = TypeVar("Seen", bound=_Row)


Facts_co = TypeVar("Facts_co", bound="DataclassInstance", covariant=True)


class Lessons(Protocol[Seen, Facts_co]):
    """What a policy learns from, row by row, and the loss of a part of a batch."""

    @property
    def steps(self) -> int:
        """Updates of the whole training."""
        ...

    def batch(self, step: int) -> list[int]:
        """The places of the rows of a step; steps count from 1."""
        ...

    def begin(self, batch: Sequence[int]) -> None:
        """Called in every process before the losses of a batch are computed."""
        ...

    def tokens(self, place: int) -> TokenGroup:
        """The row as the policy reads it."""
        ...

    def losses(self, places: Sequence[int]) -> tuple[Tensor, list[Seen]]:
        """The loss of each of these rows, and what its facts need."""
        ...

    def facts(self, seen: Sequence[Seen], grad_norm: float, learning_rate: float) -> Facts_co:
        """The facts of an update on these rows."""
        ...


def take_updates(
    policy: Policy,
    lessons: Lessons[Seen, Facts],
    settings: DpoSettings,
    context: TrainingContext,
    *,
    on_step: Callable[[int, int, Facts], None],
) -> int:
    """Takes the remaining updates, continuing from the state on disk, as `take_steps` does.

    Args:
        on_step: called in the main process after each finished step with its number, the total, and the facts.

    Returns: the number of finished steps.
    Raises: PreceptorError when training diverges or memory does not suffice.
    """
    steps = lessons.steps
    updater = PreferenceUpdater(policy, lessons, settings, context.processes)

    def take(step: int) -> tuple[Facts, dict[str, float]]:
        start = time.perf_counter()
        facts = updater.update(lessons.batch(step))
        return facts, {"update": time.perf_counter() - start}

    return take_steps(
        policy,
        updater,
        steps,
        take,
        context,
        on_step=lambda step, facts: on_step(step, steps, facts),
    )


class PreferenceUpdater(Generic[Seen, Facts]):
    """A policy with its optimiser and what it learns from."""

    def __init__(
        self, policy: Policy, lessons: Lessons[Seen, Facts], settings: DpoSettings, processes: Processes
    ) -> None:
        self._policy = policy
        self._lessons = lessons
        self._settings = settings
        self._processes = processes
        self._optimizer = Optimizer(policy.trainable, settings, lessons.steps, processes)

    def update(self, batch: Sequence[int]) -> Facts:
        """Learns from a batch of rows, given by their places.

        Raises: PreceptorError when the loss or the gradient is not finite.
        """
        self._lessons.begin(batch)
        mine = self._processes.part(batch)
        model = self._policy.base.model
        sizes = [self._policy.size(self._lessons.tokens(i)) for i in mine]
        count = self._settings.gradient_accumulation_steps
        parts = parts_to_learn(sizes, tokens_at_once(model), model.device, count)

        def work(part: range) -> tuple[Tensor, list[Seen]]:
            losses_B, seen = self._lessons.losses(mine[part.start : part.stop])
            return losses_B.sum() / len(batch), seen

        with memory_for("a backward pass", FOR_LESS_MEMORY):
            seen = accumulate(work, parts, self._policy.trainable, one_by_one=self._policy.recomputes)
        everyone = self._processes.gather([row for part in seen for row in part])
        loss = sum(row.loss for row in everyone) / len(batch)
        stepped = self._optimizer.step(loss, f"step {self._policy.step + 1}")
        return self._lessons.facts(everyone, stepped.grad_norm, stepped.learning_rate)

    def state(self) -> TorchState:
        """What the next step needs besides the policy's weights."""
        return self._optimizer.state()

    def extra(self) -> JsonObject:
        """Returns nothing; `state` holds everything."""
        return {}

    def load(self, state: TorchState, extra: JsonObject) -> None:
        """Restores what `state` returned."""
        self._optimizer.load_state(state)


def relative_weights(weights: Sequence[float], device: torch.device) -> Tensor:
    """The weights of M rows, scaled to the mean 1, so that their scale does not change the learning rate."""
    mean = sum(weights) / len(weights)
    return torch.tensor([weight / mean for weight in weights], device=device)
