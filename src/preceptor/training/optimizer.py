"""The optimiser of every learner: schedule, clipping, and a guard against divergence."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.optim.lr_scheduler import LambdaLR
from transformers import Adafactor

from preceptor.core.errors import PreceptorError
from preceptor.training.memory import memory_for
from preceptor.training.optimizer_settings import OptimizerSettings
from preceptor.training.processes import Processes
from preceptor.training.state import TorchState

__all__ = ["Optimizer", "OptimizerSettings", "Stepped", "learning_rate_factor"]

_LESS = 'what is trained (optimizer = "adafactor" keeps less than adamw)'


@dataclass(frozen=True)
class Stepped:
    """The result of one step of the optimiser."""

    grad_norm: float
    """Before clipping."""
    learning_rate: float


class Optimizer:
    """Takes steps with the gradients that each process has accumulated over its part of the batch."""

    def __init__(
        self, parameters: Sequence[Tensor], settings: OptimizerSettings, total_steps: int, processes: Processes
    ) -> None:
        self._parameters = list(parameters)
        self._settings = settings
        self._processes = processes
        self._optimizer = _make(self._parameters, settings)
        self._scheduler = LambdaLR(
            self._optimizer, lambda index: learning_rate_factor(index + 1, settings, total_steps)
        )

    def step(self, loss: float, where: str, *, advance: bool = True) -> Stepped:
        """Sums the gradients over the processes, clips them, takes a step and clears them.

        Args:
            loss: the loss of the whole batch, for the guard.
            where: the step in words, for the message.
            advance: whether to advance the schedule; False between several steps on one batch.

        Raises: PreceptorError when the loss or the gradient is not finite; no step is taken.
        """
        with memory_for("the optimiser's step", _LESS):
            self._processes.sum_gradients(self._parameters)
        grad_norm = float(torch.nn.utils.clip_grad_norm_(self._parameters, self._settings.max_grad_norm))
        if not math.isfinite(loss + grad_norm):
            raise PreceptorError(
                f"training diverged at {where}: loss {loss}, gradient norm {grad_norm}; lower the learning rate (now "
                f"{self._settings.learning_rate:g}) or keep closer to the reference"
            )
        learning_rate = float(self._scheduler.get_last_lr()[0])
        with memory_for("the optimiser's step", _LESS):
            self._optimizer.step()
        if advance:
            self._scheduler.step()
        self._optimizer.zero_grad()
        return Stepped(grad_norm, learning_rate)

    def state(self) -> TorchState:
        """Optimiser and schedule, as tensors and numbers."""
        return {"optimizer": self._optimizer.state_dict(), "scheduler": self._scheduler.state_dict()}

    def load_state(self, state: TorchState) -> None:
        """Restores what `state` returned."""
        self._optimizer.load_state_dict(state["optimizer"])
        self._scheduler.load_state_dict(state["scheduler"])


def learning_rate_factor(step: int, settings: OptimizerSettings, total_steps: int) -> float:
    """The factor of the peak learning rate at a step, counted from 1. No step has a rate of 0."""
    warm_up = min(1.0, step / (settings.warmup_steps + 1))
    left = (total_steps + 1 - step) / (total_steps + 1)
    decay = {"constant": 1.0, "linear": left, "cosine": 0.5 - 0.5 * math.cos(math.pi * left)}
    return warm_up * decay[settings.schedule]


def _make(parameters: list[Tensor], settings: OptimizerSettings) -> torch.optim.Optimizer:
    if settings.optimizer == "adamw":
        return torch.optim.AdamW(parameters, lr=settings.learning_rate, weight_decay=0.0)
    return Adafactor(
        parameters, lr=settings.learning_rate, scale_parameter=False, relative_step=False, warmup_init=False
    )
