"""What all of TRL's trainers have in common here: they are silent and offline, and leave files to preceptor."""

import hashlib
import logging as plain_logging
import shutil
import warnings
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import torch
from accelerate.state import AcceleratorState, PartialState
from accelerate.utils import DistributedType
from transformers import TrainingArguments
from transformers.utils import logging

from preceptor.core.errors import CheckpointError, UsageError
from preceptor.core.types import JsonObject
from preceptor.store.files import MANIFEST, check_folder, write_json
from preceptor.training.optimizer_settings import OptimizerSettings
from preceptor.training.tuning import TuningSettings

SCHEDULES = {"constant": "constant_with_warmup", "linear": "linear", "cosine": "cosine"}
OPTIMIZERS = {"adamw": "adamw_torch", "adafactor": "adafactor"}

Arguments = TypeVar("Arguments", bound=TrainingArguments)


class Quiet:
    """A trainer without telemetry, without a model card of its own, and whose checkpoints hold what it needs to resume:
    of adapters, only these. Stands before TRL's class among the bases.
    """

    def _save(self, output_dir: str | None = None, state_dict: dict[str, Any] | None = None) -> None:
        trainer: Any = self
        if hasattr(trainer.model, "peft_config"):  # peft itself would look for the base on the hub
            folder = output_dir or trainer.args.output_dir
            trainer.model.save_pretrained(folder, state_dict=state_dict, save_embedding_layers=False)
        else:
            super()._save(output_dir, state_dict)  # type: ignore[misc]

    def _send_telemetry(self) -> None: ...

    def create_model_card(self, *_: Any, **__: Any) -> None:
        """Writes no card: checkpoints need none, and the finished model gets preceptor's."""


def common_arguments(
    dtype: torch.dtype, tuning: TuningSettings, settings: OptimizerSettings, work: Path, seed: int
) -> dict[str, Any]:
    """The arguments that mean the same for every trainer: precision, optimiser, seed, and silence.

    Args:
        dtype: the precision to compute in.
        work: the folder of the trainer's own checkpoints.
        seed: of this training.
    """
    cuda = torch.cuda.is_available()
    return {
        "output_dir": str(work),
        "learning_rate": settings.learning_rate,
        "max_grad_norm": settings.max_grad_norm,
        "weight_decay": 0.0,
        "optim": OPTIMIZERS[settings.optimizer],
        "bf16": dtype == torch.bfloat16,
        "gradient_checkpointing": tuning.gradient_checkpointing,
        "gradient_checkpointing_kwargs": {"use_reentrant": False},
        "gradient_accumulation_steps": settings.gradient_accumulation_steps,
        "logging_steps": 1,
        "logging_nan_inf_filter": False,
        "log_level": "error",
        "log_level_replica": "error",
        "report_to": [],
        "disable_tqdm": True,
        "use_cpu": not cuda,
        "dataloader_pin_memory": cuda,
        "accelerator_config": {"use_configured_state": True},  # that of `Processes`, with its long timeout
        "seed": seed % 2**31,
    }


def made(config: type[Arguments], arguments: Mapping[str, Any], passed_on: JsonObject) -> Arguments:
    """The arguments of a trainer.

    Args:
        passed_on: `engine.trl`, checked before.

    Raises: UsageError with TRL's words for a value that its class refuses.
    """
    _forget_earlier_training()
    whole_table: dict[str, Any] = {**arguments, **passed_on}
    with refusals(), quietly():
        whole = config(**whole_table)
    # A process uses one device; `accelerate launch` uses several.
    whole._n_gpu = min(1, whole.n_gpu)  # pyright: ignore[reportPrivateUsage]
    return whole


@contextmanager
def refusals() -> Generator[None]:
    """Within the context, a trainer or its arguments are made; what TRL refuses is the user's mistake.

    Raises: UsageError with TRL's words.
    """
    try:
        yield
    except (ValueError, NotImplementedError, ImportError) as error:
        raise UsageError(f'engine.name = "trl": TRL refuses these settings: {error}') from error


def _forget_earlier_training() -> None:
    """An earlier training in this process may have had another precision, which accelerate would keep. It would also
    divide no second model: it asks for FSDP only processes that it has not marked so yet.
    """
    AcceleratorState._reset_state(reset_partial_state=False)  # pyright: ignore[reportPrivateUsage]
    processes = PartialState()
    if processes.distributed_type == DistributedType.FSDP:
        processes.distributed_type = DistributedType.MULTI_GPU


@contextmanager
def quietly() -> Generator[None]:
    """Within the context, a trainer may be made and run: its warnings about later versions are not shown, and the level
    of messages, which it sets for the whole process, is put back.
    """
    verbosity, of_trl = logging.get_verbosity(), plain_logging.getLogger("trl")
    level = of_trl.level
    logging.set_verbosity_error()
    of_trl.setLevel(plain_logging.ERROR)  # it warns of each response without a reward, with the prompt in full
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FutureWarning)  # TRL passes on settings that transformers will rename
            yield
    finally:
        logging.set_verbosity(verbosity)
        of_trl.setLevel(level)


def seal(checkpoint: Path) -> None:
    """Writes the manifest that marks a trainer's checkpoint as complete."""
    entries: dict[str, dict[str, Any]] = {}
    for file in sorted(path for path in checkpoint.rglob("*") if path.is_file()):
        with file.open("rb") as stream:
            digest = hashlib.file_digest(stream, "sha256").hexdigest()
        entries[str(file.relative_to(checkpoint))] = {"bytes": file.stat().st_size, "sha256": digest}
    write_json(checkpoint / MANIFEST, entries)


def newest_checkpoint(work: Path) -> Path | None:
    """The newest complete checkpoint. Removes a newer one that a killed process left incomplete; its steps are repeated
    with the same result.
    """
    for folder in _newest_first(work):
        try:
            check_folder(folder)
        except CheckpointError:
            shutil.rmtree(folder)
        else:
            return folder
    return None


def drop_older(work: Path) -> None:
    """Removes all checkpoints of a trainer but the newest."""
    for folder in _newest_first(work)[1:]:
        shutil.rmtree(folder)


def _newest_first(work: Path) -> list[Path]:
    numbers = {path: path.name.removeprefix("checkpoint-") for path in work.glob("checkpoint-*")}
    return sorted((path for path, n in numbers.items() if n.isdigit()), key=lambda path: -int(numbers[path]))
