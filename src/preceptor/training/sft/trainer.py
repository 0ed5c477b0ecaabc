"""TRL's SFTTrainer, configured to be silent and offline, and to resume exactly."""

import math
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from datasets import Dataset
from transformers import PrinterCallback, TrainerCallback, TrainerControl, TrainerState, TrainingArguments
from trl.trainer.sft_config import SFTConfig
from trl.trainer.sft_trainer import SFTTrainer

from preceptor.backends.transformers.loading import LoadedModel
from preceptor.core.errors import PreceptorError
from preceptor.core.seeds import derive_seed
from preceptor.core.types import JsonObject
from preceptor.training.adapters import lora_config, suited
from preceptor.training.policy import dtype_of
from preceptor.training.processes import Processes
from preceptor.training.sft.settings import SftSettings
from preceptor.training.trl.arguments import SCHEDULES, Quiet, common_arguments, made, seal
from preceptor.training.trl.own_rows import part_size
from preceptor.training.tuning import TuningSettings

FACTS = ("step", "epoch", "loss", "grad_norm", "learning_rate", "entropy", "mean_token_accuracy")
"""The facts of an update: the loss before it, in nats per learned token; the entropy, in nats; the share of learned
tokens that the model found most likely."""
OnLog = Callable[[dict[str, float]], None]


class QuietTrainer(Quiet, SFTTrainer):
    """TRL's trainer."""


class Watcher(TrainerCallback):
    """Passes log entries on, stops diverging training, and seals checkpoints."""

    def __init__(self, on_log: OnLog, learning_rate: float, processes: Processes) -> None:
        self._on_log = on_log
        self._learning_rate = learning_rate
        self._processes = processes

    def on_log(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:  # pyright: ignore[reportIncompatibleMethodOverride]
        """Raises PreceptorError when the loss or the gradient is not finite."""
        logs: dict[str, float] = dict(kwargs.get("logs") or {})
        if not is_step(logs):
            return
        if not all(math.isfinite(float(logs.get(name, 0.0))) for name in ("loss", "grad_norm")):
            raise PreceptorError(
                f"fine-tuning diverged at step {state.global_step}: loss {logs['loss']}, gradient norm "
                f"{logs.get('grad_norm')}; lower the learning rate (now {self._learning_rate:g})"
            )
        if state.is_world_process_zero:
            self._on_log({"steps": state.max_steps, **facts_of({"step": state.global_step, **logs})})

    def on_save(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:  # pyright: ignore[reportIncompatibleMethodOverride]
        """Seals the checkpoint once every process has written its part."""
        self._processes.gather([self._processes.index])
        folder = Path(str(args.output_dir)) / f"checkpoint-{state.global_step}"
        self._processes.on_main(lambda: seal(folder))


def is_step(logs: Mapping[str, float]) -> bool:
    """Whether a log entry is that of a step, not the summary at the end."""
    return "loss" in logs


def facts_of(logs: Mapping[str, float]) -> dict[str, float]:
    """The facts of a step, without the counts that restart at 0 when training is resumed."""
    return {name: logs[name] for name in FACTS if name in logs}


def make_trainer(
    loaded: LoadedModel,
    rows: list[dict[str, list[int]]],
    tuning: TuningSettings,
    settings: SftSettings,
    *,
    work: Path,
    seed: int,
    processes: Processes,
    on_log: OnLog,
    passed_on: JsonObject,
) -> Any:
    """A trainer for the model on rows of `input_ids` and `labels`, with its checkpoints in `work`.

    Args:
        passed_on: further settings of TRL's trainer.

    Raises: UsageError when the batch cannot be divided as the settings require.
    """
    lora = suited(lora_config(tuning, "CAUSAL_LM"), loaded.model)
    trainer: Any = QuietTrainer(
        model=loaded.model,
        args=_arguments(tuning, settings, work, seed, processes, passed_on),
        train_dataset=Dataset.from_list(rows),
        processing_class=loaded.tokenizer,
        peft_config=lora if tuning.method == "lora" else None,
        callbacks=[Watcher(on_log, settings.learning_rate, processes)],
    )
    trainer.remove_callback(PrinterCallback)
    return trainer


def _arguments(
    tuning: TuningSettings,
    settings: SftSettings,
    work: Path,
    seed: int,
    processes: Processes,
    passed_on: JsonObject,
) -> SFTConfig:
    arguments = {
        **common_arguments(dtype_of(tuning), tuning, settings, work, derive_seed(seed, "sft")),
        "num_train_epochs": settings.epochs,
        "per_device_train_batch_size": part_size("sft", settings.batch_size, settings, processes),
        "lr_scheduler_type": SCHEDULES[settings.schedule],
        "warmup_steps": settings.warmup_steps,
        "dataset_kwargs": {"skip_prepare_dataset": True},
        "max_length": None,
        "save_strategy": "steps",
        "save_steps": settings.checkpoint_every,
        "save_total_limit": 2,  # keeps one to fall back on while the next is written
    }
    return made(SFTConfig, arguments, passed_on)
