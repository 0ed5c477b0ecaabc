"""TRL's SFTTrainer, configured to be silent and offline, and to resume exactly."""

import hashlib
import math
import shutil
import warnings
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from accelerate.state import AcceleratorState
from datasets import Dataset
from transformers import PrinterCallback, TrainerCallback, TrainerControl, TrainerState, TrainingArguments
from trl.trainer.sft_config import SFTConfig
from trl.trainer.sft_trainer import SFTTrainer

from preceptor.backends.transformers.loading import LoadedModel
from preceptor.core.errors import CheckpointError, PreceptorError, UsageError
from preceptor.core.seeds import derive_seed
from preceptor.store.files import MANIFEST, check_folder, write_json
from preceptor.training.adapters import lora_config, suited
from preceptor.training.policy import dtype_of
from preceptor.training.processes import Processes
from preceptor.training.sft.settings import SftSettings
from preceptor.training.tuning import TuningSettings

FACTS = ("step", "epoch", "loss", "grad_norm", "learning_rate", "entropy", "mean_token_accuracy")
"""The facts of an update: the loss before it, in nats per learned token; the entropy, in nats; the share of learned
tokens that the model found most likely."""
OnLog = Callable[[dict[str, float]], None]
_SCHEDULES = {"constant": "constant_with_warmup", "linear": "linear", "cosine": "cosine"}
_OPTIMIZERS = {"adamw": "adamw_torch", "adafactor": "adafactor"}


class QuietTrainer(SFTTrainer):
    """An SFTTrainer without telemetry and without a model card of its own."""

    def _send_telemetry(self) -> None: ...

    def create_model_card(self, *_: Any, **__: Any) -> None:
        """Writes no card: checkpoints need none, and the finished model gets preceptor's."""


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
) -> Any:
    """A trainer for the model on rows of `input_ids` and `labels`, with its checkpoints in `work`.

    Raises: UsageError when the batch cannot be divided as the settings require.
    """
    # An earlier training in this process may have had another precision, which accelerate would keep.
    AcceleratorState._reset_state(reset_partial_state=False)  # pyright: ignore[reportPrivateUsage]
    lora = suited(lora_config(tuning, "CAUSAL_LM"), loaded.model)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # TRL passes on settings that transformers will rename
        arguments = _arguments(tuning, settings, work, seed, processes)
        trainer: Any = QuietTrainer(
            model=loaded.model,
            args=arguments,
            train_dataset=Dataset.from_list(rows),
            processing_class=loaded.tokenizer,
            peft_config=lora if tuning.method == "lora" else None,
            callbacks=[Watcher(on_log, settings.learning_rate, processes)],
        )
    trainer.remove_callback(PrinterCallback)
    return trainer


def seal(checkpoint: Path) -> None:
    """Writes the manifest that marks a checkpoint as complete."""
    entries: dict[str, dict[str, Any]] = {}
    for file in sorted(path for path in checkpoint.rglob("*") if path.is_file()):
        with file.open("rb") as stream:
            digest = hashlib.file_digest(stream, "sha256").hexdigest()
        entries[str(file.relative_to(checkpoint))] = {"bytes": file.stat().st_size, "sha256": digest}
    write_json(checkpoint / MANIFEST, entries)


def newest_checkpoint(work: Path) -> str | None:
    """The newest complete checkpoint. Removes a newer one that a killed process left incomplete; its steps are repeated
    with the same result.
    """
    checkpoints = [path for path in work.glob("checkpoint-*") if path.name.removeprefix("checkpoint-").isdigit()]
    for folder in sorted(checkpoints, key=lambda path: -int(path.name.removeprefix("checkpoint-"))):
        try:
            check_folder(folder)
        except CheckpointError:
            shutil.rmtree(folder)
        else:
            return str(folder)
    return None


def _arguments(tuning: TuningSettings, settings: SftSettings, work: Path, seed: int, processes: Processes) -> SFTConfig:
    parts = processes.count * settings.gradient_accumulation_steps
    if settings.batch_size % parts:
        raise UsageError(
            f"sft.batch_size is {settings.batch_size}; expected a multiple of {parts}: {processes.count} processes × "
            f"{settings.gradient_accumulation_steps} gradient_accumulation_steps"
        )
    cuda = torch.cuda.is_available()
    arguments = SFTConfig(
        output_dir=str(work),
        num_train_epochs=settings.epochs,
        per_device_train_batch_size=settings.batch_size // parts,
        gradient_accumulation_steps=settings.gradient_accumulation_steps,
        learning_rate=settings.learning_rate,
        lr_scheduler_type=_SCHEDULES[settings.schedule],
        warmup_steps=settings.warmup_steps,
        max_grad_norm=settings.max_grad_norm,
        weight_decay=0.0,
        optim=_OPTIMIZERS[settings.optimizer],
        bf16=dtype_of(tuning) == torch.bfloat16,
        gradient_checkpointing=tuning.gradient_checkpointing,
        gradient_checkpointing_kwargs={"use_reentrant": False},
        dataset_kwargs={"skip_prepare_dataset": True},
        max_length=None,
        save_strategy="steps",
        save_steps=settings.checkpoint_every,
        save_total_limit=2,  # keeps one to fall back on while the next is written
        logging_steps=1,
        logging_nan_inf_filter=False,
        log_level="error",
        log_level_replica="error",
        report_to=[],
        disable_tqdm=True,
        use_cpu=not cuda,
        dataloader_pin_memory=cuda,
        accelerator_config={"use_configured_state": True},  # that of `Processes`, with its long timeout
        seed=derive_seed(seed, "sft") % 2**31,
    )
    # A process uses one device; `accelerate launch` uses several.
    arguments._n_gpu = min(1, arguments.n_gpu)  # pyright: ignore[reportPrivateUsage]
    return arguments
