"""What trainers of rows have in common here: rows that are tokens already, in the native engine's order and with its
schedule, so that both engines take the same steps.
"""

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import torch
from torch.optim.lr_scheduler import LambdaLR
from torch.utils.data import Sampler

from preceptor.core.errors import UsageError
from preceptor.training.optimizer import learning_rate_factor
from preceptor.training.optimizer_settings import OptimizerSettings
from preceptor.training.processes import Processes
from preceptor.training.trl.arguments import Quiet, quietly, refusals


@dataclass(frozen=True)
class Plan:
    """The rows that each step takes, and how its gradient becomes an update."""

    order: Callable[[int], Sequence[int]]
    """Returns the places of all rows in the order in which an epoch takes them; epochs count from 0."""
    settings: OptimizerSettings
    steps: int
    """Of the whole training."""
    rows: int
    batch_size: int
    filled: bool = False
    """Whether the last batch of an epoch is filled up with the row after the last one, whose weight is 0: then
    processes and parts divide it evenly, whatever its size."""

    def places(self, epoch: int) -> list[int]:
        """The rows of an epoch in their order, and what fills up its last batch."""
        missing = -self.rows % self.batch_size if self.filled else 0
        return [*self.order(epoch), *[self.rows] * missing]

    def scale(self, step: int) -> float:
        """How much larger a full batch is than that of a step, in rows with a weight; steps count from 0."""
        begins = step % math.ceil(self.rows / self.batch_size) * self.batch_size
        return self.batch_size / min(self.batch_size, self.rows - begins) if self.filled else 1.0


class OwnRows(Quiet):
    """Stands before TRL's trainer among the bases of a class. Its `plan` must be set before training."""

    plan: Plan

    def _prepare_dataset(self, dataset: Any, *_: Any, **__: Any) -> Any:
        return dataset  # its rows are tokens already

    def _get_train_sampler(self, train_dataset: Any = None) -> Sampler[int]:
        return _EpochOrder(self.plan)

    def create_scheduler(self, num_training_steps: int, optimizer: torch.optim.Optimizer | None = None) -> LambdaLR:
        """The native engine's schedule."""
        trainer: Any = self
        plan = self.plan
        if trainer.lr_scheduler is None:
            trainer.lr_scheduler = LambdaLR(
                optimizer or trainer.optimizer,
                lambda update: learning_rate_factor(update + 1, plan.settings, plan.steps),
            )
            trainer._created_lr_scheduler = True
        return trainer.lr_scheduler


def filled_up(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The rows, and one more with the weight 0, which fills up the last batch of an epoch (`Plan.filled`)."""
    shortest = min(rows, key=lambda row: sum(len(value) for value in row.values() if isinstance(value, list)))
    return [*rows, shortest | {"weight": 0.0}]


Trainer = TypeVar("Trainer", bound=OwnRows)


def made_trainer(kind: type[Trainer], plan: Plan, **arguments: Any) -> Trainer:
    """A trainer of TRL with a plan.

    Raises: UsageError with TRL's own words for settings that do not fit each other.
    """
    with refusals(), quietly():
        trainer = kind(**arguments)
    trainer.plan = plan
    return trainer


def part_size(table: str, batch_size: int, settings: OptimizerSettings, processes: Processes) -> int:
    """How many rows a process computes at a time.

    Args:
        table: the recipe's table that has the settings, for the message.

    Raises: UsageError when the batch cannot be divided as the settings require.
    """
    parts = processes.count * settings.gradient_accumulation_steps
    if batch_size % parts:
        raise UsageError(
            f"{table}.batch_size is {batch_size}; expected a multiple of {parts}: {processes.count} processes × "
            f"{settings.gradient_accumulation_steps} gradient_accumulation_steps"
        )
    return batch_size // parts


class _EpochOrder(Sampler[int]):
    """All rows once in every epoch. The trainer says which epoch it is, also when it resumes."""

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self._epoch = 0

    def set_epoch(self, epoch: int) -> None:
        """Called by the trainer at the beginning of an epoch."""
        self._epoch = epoch

    def __len__(self) -> int:
        return len(self._plan.places(0))

    def __iter__(self) -> Iterator[int]:
        return iter(self._plan.places(self._epoch))
