"""A run's steps on TRL's trainers: rows, checkpoints, measurements and stopping, as the native engine has them.

    metrics.jsonl, timings.jsonl     a row for each finished step, as on the native engine
    checkpoints/step-000010/         written at the same steps, and measured
    engine/checkpoint-10/            the trainer's own state at that step, from which a killed run continues; the
                                     newest two, and in the end one

The steps after the newest state are repeated by a resumed run, with the same results: random numbers come from the
seed and the step, and what the judge said is in the ledger.
"""

import math
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Generic, TypeVar

import torch
from transformers import PrinterCallback, TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from preceptor.core.errors import PreceptorError
from preceptor.training.policy import Policy
from preceptor.training.steps import TrainingContext, row_of
from preceptor.training.trl.arguments import drop_older, newest_checkpoint, quietly, seal
from preceptor.training.trl.divided import bring, check_trained

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

Facts = TypeVar("Facts", bound="DataclassInstance")
Logs = Mapping[str, float]
"""What a trainer logs of one update."""
ENGINE = "engine"
"""The folder of the trainer's own state, beside `checkpoints`."""


class Unwrapped:
    """The policy's model as it was before a trainer got it: trainers replace the methods by which it computes.

    Args:
        policy: before a trainer is made for its model.
    """

    def __init__(self, policy: Policy) -> None:
        self._policy = policy
        inner = policy.model.get_base_model() if hasattr(policy.model, "get_base_model") else policy.model
        self._eos: Any = policy.base.model.generation_config.eos_token_id
        self._forwards: dict[Any, Any] = {m: _own_forward(m) for m in (policy.model, inner, policy.base.model)}

    @contextmanager
    def as_policy(self) -> Generator[None]:
        """Within the context, the model computes as on the native engine, and draws no random number of training's."""
        wrapped, was_training = {model: _own_forward(model) for model in self._forwards}, self._policy.model.training
        self.restore()
        try:
            with torch.random.fork_rng():
                yield
        finally:
            _set_forwards(wrapped)
            self._policy.model.train(was_training)

    def restore(self) -> None:
        """Puts the model's own methods back, and the tokens that end a response."""
        _set_forwards(self._forwards)
        self._policy.base.model.generation_config.eos_token_id = self._eos
        self._policy.model.eval()


class StepsOnTrl(TrainerCallback, Generic[Facts]):
    """Does at a trainer's steps what `take_steps` does at the native engine's.

    Args:
        policy: whose model the trainer trains.
        steps: the number of steps of the training; a step may be several updates.
        updates: the trainer's updates in one step.
        facts_of: called in every process with the logs of a step's updates; returns the facts of the step, a dataclass
            without times, and the seconds that each part of it took. Only the main process's are used.
        on_step: called in the main process after each step.
        lower: what a person can do if training diverges.
    """

    def __init__(
        self,
        policy: Policy,
        unwrapped: Unwrapped,
        steps: int,
        updates: int,
        context: TrainingContext,
        *,
        facts_of: Callable[[Sequence[Logs]], tuple[Facts, dict[str, float]]],
        on_step: Callable[[int, Facts], None],
        lower: str,
    ) -> None:
        self._policy = policy
        self._unwrapped = unwrapped
        self._steps = steps
        self._updates = updates
        self._checkpoints = context.checkpoints
        self._processes = context.processes
        self._facts_of = facts_of
        self._on_step = on_step
        self._lower = lower
        self._logs: list[Logs] = []
        self._trained: Any = None

    @property
    def work(self) -> Path:
        """The folder of the trainer's own state."""
        return self._checkpoints.files.root / ENGINE

    def train(self, trainer: Any) -> int:
        """Takes the remaining steps. Every process calls it.

        Args:
            trainer: has this callback.

        Returns: the number of finished steps.
        """
        self._trained = trainer.model
        check_trained(self._trained, self._policy, self._processes)
        trainer.remove_callback(PrinterCallback)
        newest = self._processes.on_main(self._newest)
        try:
            with quietly():
                trainer.train(resume_from_checkpoint=newest)
        except _EnoughError:
            pass
        finally:
            self._unwrapped.restore()
        self._processes.on_main(lambda: drop_older(self.work))
        return self._policy.step

    def _newest(self) -> str | None:
        """The trainer's newest state. Cuts the rows to it."""
        newest = newest_checkpoint(self.work)
        step = 0 if newest is None else int(newest.name.removeprefix("checkpoint-")) // self._updates
        self._checkpoints.files.prepare(step)
        return None if newest is None else str(newest)

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:  # pyright: ignore[reportIncompatibleMethodOverride]
        """Looks at the policy before training, or where a restart finds the run."""
        self._policy.step = state.global_step // self._updates
        bring(self._trained, self._policy, self._processes)
        if not self._look() or self._policy.step == self._steps:
            raise _EnoughError

    def on_step_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:  # pyright: ignore[reportIncompatibleMethodOverride]
        """Counts a finished step, and asks for a checkpoint if one is due."""
        step, further = divmod(state.global_step, self._updates)
        if further == 0:
            self._policy.step = step
            control.should_save = step % self._checkpoints.every == 0 or step == self._steps

    def on_log(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:  # pyright: ignore[reportIncompatibleMethodOverride]
        """Keeps what an update logs; after the last one of a step, writes the step's row.

        Raises: PreceptorError when the loss or the gradient is not finite.
        """
        logs: dict[str, float] = dict(kwargs.get("logs") or {})
        if "loss" not in logs:  # the summary at the end
            return
        step, further = divmod(state.global_step, self._updates)
        loss, grad_norm = logs["loss"], logs.get("grad_norm", 0.0)
        if not math.isfinite(loss + grad_norm):
            raise PreceptorError(
                f"training diverged at step {step + (further > 0)}: loss {loss}, gradient norm {grad_norm}; "
                f"{self._lower}"
            )
        self._logs.append(logs)
        if further == 0:
            facts, seconds = self._facts_of(self._logs)
            self._logs = []
            self._processes.on_main(lambda: self._finish(facts, seconds))

    def on_save(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:  # pyright: ignore[reportIncompatibleMethodOverride]
        """Seals the trainer's state once every process has written its part, and looks at the policy."""
        self._processes.gather([self._processes.index])
        bring(self._trained, self._policy, self._processes)
        self._processes.on_main(self._save)
        self._processes.on_main(lambda: seal(self.work / f"checkpoint-{state.global_step}"))
        if not self._look():
            control.should_training_stop = True

    def _finish(self, facts: Facts, seconds: dict[str, float]) -> None:
        self._checkpoints.files.add_rows({"step": self._policy.step, **row_of(facts)}, seconds)
        self._on_step(self._policy.step, facts)

    def _save(self) -> None:
        with self._unwrapped.as_policy():
            self._checkpoints.files.save_checkpoint(self._policy)

    def _look(self) -> bool:
        """Keeps and measures the checkpoint if one is due; returns whether training should continue."""
        step, checkpoints = self._policy.step, self._checkpoints
        if step % checkpoints.every and step != self._steps:
            return True

        def look() -> bool:
            with self._unwrapped.as_policy():
                checkpoints.files.save_checkpoint(self._policy)
                return checkpoints.at_checkpoint(step)

        return self._processes.on_main(look)


class _EnoughError(Exception):
    """Ends a trainer's loop before its first step."""


def _own_forward(model: Any) -> Any:
    """The method that was put in the place of a model's own; None if none was."""
    return vars(model).get("forward")


def _set_forwards(forwards: Mapping[Any, Any]) -> None:
    for model, forward in forwards.items():
        vars(model).pop("forward", None)
        if forward is not None:
            model.forward = forward
