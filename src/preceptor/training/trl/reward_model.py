"""Reward models by TRL's trainer. A step is the native engine's step; the trainer keeps its own state.

metrics.jsonl           a row for each finished step, as on the native engine
engine/about.json       what is trained on what
engine/checkpoint-100/  the trainer's own state, from which a killed training continues; the newest
                            two, and in the end one
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import asdict, fields, replace
from functools import partial
from pathlib import Path
from typing import Any

from datasets import Dataset
from transformers import PrinterCallback, TrainerCallback, TrainerControl, TrainerState, TrainingArguments
from trl.trainer.reward_config import RewardConfig

from preceptor.core.errors import PreceptorError, UsageError
from preceptor.core.seeds import derive_seed
from preceptor.core.types import JsonObject
from preceptor.store.files import read_json, write_json, writing
from preceptor.store.training_pairs import TrainingPair
from preceptor.training.memory import memory_for
from preceptor.training.policy import dtype_of
from preceptor.training.processes import Processes
from preceptor.training.reward_model.model import RewardModel
from preceptor.training.reward_model.settings import RewardModelSettings
from preceptor.training.reward_model.train import (
    RewardStepFacts,
    RewardTraining,
    encode_pairs,
    order_of_epoch,
    setup_hash,
)
from preceptor.training.state import TrainingState
from preceptor.training.trl.arguments import common_arguments, drop_older, made, newest_checkpoint, quietly, seal
from preceptor.training.trl.callback import ENGINE
from preceptor.training.trl.divided import check_whole
from preceptor.training.trl.own_rows import Plan, filled_up, made_trainer, part_size
from preceptor.training.trl.reward_trainer import RewardCollator, SoftRewardTrainer, reward_rows
from preceptor.training.tuning import TuningSettings

OnStep = Callable[[int, int, RewardStepFacts], None]


class _Steps(TrainerCallback):
    """Writes the row of each step, says when the trainer saves its state, and seals it."""

    def __init__(
        self, root: Path, total: int, settings: RewardModelSettings, processes: Processes, on_step: OnStep
    ) -> None:
        self._root = root
        self._total = total
        self._per_epoch = total // settings.epochs
        self._settings = settings
        self._processes = processes
        self._on_step = on_step

    def on_step_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:  # pyright: ignore[reportIncompatibleMethodOverride]
        """Asks for the state where the native engine saves it."""
        step = state.global_step
        control.should_save = step % self._settings.save_every == 0 or step % self._per_epoch == 0

    def on_log(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:  # pyright: ignore[reportIncompatibleMethodOverride]
        """Raises PreceptorError when the loss or the gradient is not finite."""
        logs: dict[str, Any] = dict(kwargs.get("logs") or {})
        if "loss" not in logs:  # the summary at the end
            return
        step = state.global_step
        facts = RewardStepFacts(**{field.name: logs[field.name] for field in fields(RewardStepFacts)})
        if not math.isfinite(facts.loss + facts.grad_norm):
            raise PreceptorError(
                f"training diverged at step {step} of the reward model: loss {facts.loss}, gradient norm "
                f"{facts.grad_norm}; lower the learning rate (now {self._settings.learning_rate:g})"
            )
        facts = replace(facts, epoch=(step - 1) // self._per_epoch + 1)  # TRL counts parts of epochs
        self._processes.on_main(partial(self._finish, step, facts))

    def on_save(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:  # pyright: ignore[reportIncompatibleMethodOverride]
        """Seals the state once every process has written its part."""
        self._processes.gather([self._processes.index])
        self._processes.on_main(lambda: seal(self._root / ENGINE / f"checkpoint-{state.global_step}"))

    def _finish(self, step: int, facts: RewardStepFacts) -> None:
        TrainingState(self._root).add_row({"step": step, **asdict(facts)})
        self._on_step(step, self._total, facts)


def train_reward_model_on_trl(
    model: RewardModel,
    pairs: Sequence[TrainingPair],
    settings: RewardModelSettings,
    tuning: TuningSettings,
    passed_on: JsonObject,
    *,
    root: Path,
    seed: int,
    processes: Processes,
    on_step: OnStep,
) -> RewardTraining:
    """Trains a reward model, continuing from the state in `root`. Every process calls it.

    Args:
        passed_on: further settings of TRL's trainer.
        root: the folder of metrics and state.
        on_step: called on the main process after each finished step, with its number, the total, and the facts.

    Raises: UsageError when the pairs teach nothing, TRL refuses the settings, or `root` holds another training;
        PreceptorError when training diverges.
    """
    check_whole("a reward model in training", processes)
    encoded, left_out = encode_pairs(model, pairs, settings)
    total = math.ceil(len(encoded) / settings.batch_size) * settings.epochs
    setup = setup_hash(settings, seed, model, encoded, passed_on)
    newest = processes.on_main(lambda: _begin(root, setup))
    arguments = {
        **common_arguments(dtype_of(tuning), tuning, settings, root / ENGINE, derive_seed(seed, "reward model")),
        "num_train_epochs": settings.epochs,
        "per_device_train_batch_size": part_size("reward_model", settings.batch_size, settings, processes),
        "max_length": None,  # longer pairs were left out
        "center_rewards_coefficient": settings.center_coefficient or None,
        "save_strategy": "no",  # the callback says when
        "save_total_limit": 2,  # keeps one to fall back on while the next is written
    }
    lower = "batch_size or max_length, or raise gradient_accumulation_steps"
    with quietly(), memory_for("a step of the reward model", lower):
        trainer: Any = made_trainer(
            SoftRewardTrainer,
            Plan(
                lambda epoch: order_of_epoch(len(encoded), epoch, seed),
                settings,
                total,
                len(encoded),
                settings.batch_size,
                filled=True,
            ),
            model=model.model,
            args=made(RewardConfig, arguments, passed_on),
            train_dataset=Dataset.from_list(filled_up(reward_rows(encoded))),
            data_collator=RewardCollator(pad_token_id=int(model.tokenizer.pad_token_id)),
            processing_class=model.tokenizer,
            callbacks=[_Steps(root, total, settings, processes, on_step)],
        )
        trainer.remove_callback(PrinterCallback)
        trainer.train(resume_from_checkpoint=newest)
        trainer.accelerator.unwrap_model(trainer.model_wrapped, keep_fp32_wrapper=False)
    processes.on_main(lambda: drop_older(root / ENGINE))
    model.model.eval()
    model.step = total
    return RewardTraining(total, len(encoded), left_out)


def _begin(root: Path, setup: str) -> str | None:
    """The trainer's newest state, if there is one. Cuts the rows to it.

    Raises: UsageError when it is another training's.
    """
    work = root / ENGINE
    about = work / "about.json"
    state = TrainingState(root)
    if state.step or (about.is_file() and read_json(about) != {"setup": setup}):
        raise UsageError(
            f"{root}: holds the state of a training with other pairs, settings, seed, tuning, model or engine; train "
            "in another folder, or delete this one"
        )
    with writing(work):
        work.mkdir(parents=True, exist_ok=True)
    write_json(about, {"setup": setup})
    newest = newest_checkpoint(work)
    state.cut_rows(None, 0 if newest is None else int(newest.name.removeprefix("checkpoint-")))
    return None if newest is None else str(newest)
