"""DPO and KTO by TRL's trainers. With the native engine's losses, a step is the native engine's step."""

import copy
import math
from collections.abc import Callable, Sequence
from dataclasses import fields
from typing import TYPE_CHECKING, Any

from datasets import Dataset
from trl.trainer.dpo_config import DPOConfig
from trl.trainer.kto_config import KTOConfig

from preceptor.core.errors import UsageError
from preceptor.core.seeds import derive_seed
from preceptor.store.training_pairs import TrainingPair
from preceptor.training.dpo.encoding import PackedPair
from preceptor.training.dpo.settings import DpoSettings
from preceptor.training.dpo.train import DpoFacts, order_of_epoch, usable_pairs
from preceptor.training.memory import memory_for
from preceptor.training.policy import FOR_LESS_MEMORY, Policy
from preceptor.training.processes import Processes
from preceptor.training.steps import Checkpointing
from preceptor.training.trl.arguments import common_arguments, made
from preceptor.training.trl.callback import Logs, StepsOnTrl, Unwrapped
from preceptor.training.trl.divided import divides, model_to_train
from preceptor.training.trl.dpo_trainer import PairCollator, PairTrainer, pair_rows
from preceptor.training.trl.kto_trainer import KtoFacts, UnpairedCollator, UnpairedTrainer, examples_of, unpaired_rows
from preceptor.training.trl.own_rows import OwnRows, Plan, filled_up, made_trainer, part_size
from preceptor.training.trl.row_checks import KTO_LOSSES
from preceptor.training.trl.settings import EngineSettings
from preceptor.training.tuning import TuningSettings

if TYPE_CHECKING:
    from _typeshed import DataclassInstance


def train_dpo_on_trl(
    policy: Policy,
    pairs: Sequence[TrainingPair],
    settings: DpoSettings,
    engine: EngineSettings,
    tuning: TuningSettings,
    *,
    checkpoints: Checkpointing,
    seed: int,
    processes: Processes,
    on_step: "Callable[[int, int, DataclassInstance], None]",
    on_note: Callable[[str], None],
) -> int:
    """Trains the policy on pairs, continuing from the state on disk. Every process calls it.

    Args:
        on_step: called in the main process after each finished step with its number, the total, and the facts.
        on_note: called in the main process with how many pairs were left out and why.

    Returns: the number of finished steps.
    Raises: UsageError when no pair is usable, or TRL refuses the settings; PreceptorError when training diverges.
    """
    encoded = usable_pairs(policy, pairs, settings, on_note if processes.is_main else lambda _: None)
    by_kto = engine.loss_type in KTO_LOSSES
    total = settings.epochs * math.ceil(len(encoded) / settings.batch_size)
    steps = StepsOnTrl(
        policy,
        Unwrapped(policy),
        total,
        1,
        checkpoints=checkpoints,
        processes=processes,
        facts_of=_kto_facts if by_kto else _dpo_facts,
        on_step=lambda step, facts: on_step(step, total, facts),
        lower=f"lower the learning rate (now {settings.learning_rate:g}) or keep closer to the reference",
    )
    shared = {
        **common_arguments(policy.base.model.dtype, tuning, settings, steps.work, derive_seed(seed, "dpo")),
        "num_train_epochs": settings.epochs,
        "max_length": None,  # longer pairs were left out
        "beta": settings.beta,
        "disable_dropout": True,
        "save_strategy": "no",  # the callback says when
        "save_total_limit": 2,  # keeps one to fall back on while the next is written
    }
    size = part_size("dpo", settings.batch_size, settings, processes)
    models = _models(policy, steps, processes)
    make = _unpaired_trainer if by_kto else _pair_trainer
    trainer = make(policy, encoded, settings, engine, shared, size, total, seed, models)
    if "ref" in getattr(models["model"], "peft_config", {}):
        models["model"].delete_adapter("ref")  # TRL's copy of new adapters: the reference is the base without them
    with memory_for("a step of training", FOR_LESS_MEMORY):
        return steps.train(trainer)


def _pair_trainer(
    policy: Policy,
    pairs: Sequence[PackedPair],
    settings: DpoSettings,
    engine: EngineSettings,
    shared: dict[str, Any],
    size: int,
    steps: int,
    seed: int,
    models: dict[str, Any],
) -> OwnRows:
    """TRL's DPO, in the order of the native engine."""
    ids, loss = tuple(pair.id for pair in pairs), engine.loss_type
    if loss is not None and len({pair.weight for pair in pairs}) > 1:
        raise UsageError(
            f'engine.loss_type = "{loss}": the pairs have different weights, of which TRL\'s losses know nothing; '
            "leave out engine.loss_type, or give every pair the same weight"
        )
    of_dpo = {"per_device_train_batch_size": size, "loss_type": [loss or "sigmoid"]}
    return made_trainer(
        PairTrainer,
        Plan(
            lambda epoch: order_of_epoch(ids, epoch, seed),
            settings,
            steps,
            len(pairs),
            settings.batch_size,
            filled=loss is None,
        ),
        own=settings if loss is None else None,
        args=made(DPOConfig, shared | of_dpo, engine.trl),
        train_dataset=Dataset.from_list(filled_up(pair_rows(pairs)) if loss is None else pair_rows(pairs)),
        data_collator=PairCollator(pad_token_id=_pad(policy)),
        **models,
    )


def _unpaired_trainer(
    policy: Policy,
    pairs: Sequence[PackedPair],
    settings: DpoSettings,
    engine: EngineSettings,
    shared: dict[str, Any],
    size: int,
    steps: int,
    seed: int,
    models: dict[str, Any],
) -> OwnRows:
    """TRL's KTO. Every epoch has the same order, since each response is compared with those beside it."""
    rows = unpaired_rows(examples_of(pairs, seed), 2 * size)
    of_kto = {"per_device_train_batch_size": 2 * size, "loss_type": engine.loss_type}
    return made_trainer(
        UnpairedTrainer,
        Plan(lambda _: range(len(rows)), settings, steps, len(rows), 2 * settings.batch_size),
        args=made(KTOConfig, shared | of_kto, engine.trl),
        train_dataset=Dataset.from_list(rows),
        data_collator=UnpairedCollator(pad_token_id=_pad(policy)),
        **models,
    )


def _models(policy: Policy, callback: Any, processes: Processes) -> dict[str, Any]:
    """The policy's own model, with its base as the reference: under adapters the base is the model without them. Where
    models are divided among processes, copies of both.
    """
    adapters = hasattr(policy.model, "peft_config")
    base = copy.deepcopy(policy.base.model) if divides(processes) and not adapters else policy.base.model
    return {
        "model": model_to_train(policy, processes),
        "ref_model": None if adapters else base,
        "processing_class": policy.base.tokenizer,
        "callbacks": [callback],
    }


def _pad(policy: Policy) -> int:
    """The token that fills rows up; it is computed and never read."""
    tokenizer: Any = policy.base.tokenizer
    return int(tokenizer.eos_token_id if tokenizer.pad_token_id is None else tokenizer.pad_token_id)


def _dpo_facts(logs: Sequence[Logs]) -> tuple[DpoFacts, dict[str, float]]:
    [log] = logs
    return DpoFacts(**{field.name: log[field.name] for field in fields(DpoFacts)}), {}  # pyright: ignore


def _kto_facts(logs: Sequence[Logs]) -> tuple[KtoFacts, dict[str, float]]:
    [log] = logs
    return KtoFacts(**{field.name: log.get(field.name) for field in fields(KtoFacts)}), {}  # pyright: ignore
