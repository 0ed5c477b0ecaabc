"""DPO and KTO by TRL's trainers. With the native engine's losses, a step is the native engine's step."""

import copy
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from functools import partial
from typing import TYPE_CHECKING, Any

from datasets import Dataset
from trl.trainer.dpo_config import DPOConfig
from trl.trainer.kto_config import KTOConfig

from preceptor.core.errors import UsageError
from preceptor.core.seeds import derive_seed
from preceptor.core.types import JsonObject
from preceptor.store.rated_responses import RatedResponse
from preceptor.store.training_pairs import TrainingPair
from preceptor.training.dpo.encoding import PackedPair
from preceptor.training.dpo.examples import Example, usable_examples
from preceptor.training.dpo.kto import KtoFacts, steps_of
from preceptor.training.dpo.losses import kto_loss
from preceptor.training.dpo.settings import DpoSettings
from preceptor.training.dpo.train import DpoFacts, order_of_epoch, usable_pairs
from preceptor.training.memory import memory_for
from preceptor.training.policy import FOR_LESS_MEMORY, Policy
from preceptor.training.processes import Processes
from preceptor.training.steps import TrainingContext
from preceptor.training.trl.arguments import common_arguments, made
from preceptor.training.trl.callback import Logs, StepsOnTrl, Unwrapped
from preceptor.training.trl.divided import divides, model_to_train
from preceptor.training.trl.dpo_trainer import PairCollator, PairTrainer, pair_rows
from preceptor.training.trl.kto_trainer import UnpairedCollator, UnpairedTrainer, unpaired_rows
from preceptor.training.trl.own_rows import Plan, filled_up, made_trainer, part_size
from preceptor.training.trl.row_checks import KTO_LOSSES, preference_loss_on_trl
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
    context: TrainingContext,
    *,
    rated: Sequence[RatedResponse] = (),
    on_step: "Callable[[int, int, DataclassInstance], None]",
    on_note: Callable[[str], None],
) -> int:
    """Trains the policy on pairs, or on responses by themselves, continuing from the state on disk. Every process calls
    it.

    Args:
        rated: further responses, for a loss that needs no pairs.
        on_step: called in the main process after each finished step with its number, the total, and the facts.
        on_note: called in the main process with how many pairs were left out and why.

    Returns: the number of finished steps.
    Raises: UsageError when no pair is usable, or TRL refuses the settings; PreceptorError when training diverges.
    """
    seed, processes = context.seed, context.processes
    note = on_note if processes.is_main else lambda _: None
    loss = preference_loss_on_trl(engine, settings)
    rows: PairRows | ExampleRows
    if loss in KTO_LOSSES:
        rows = ExampleRows(usable_examples(policy, pairs, rated, settings, seed, note), settings, loss)
    else:
        rows = PairRows(usable_pairs(policy, pairs, settings, note), settings, loss, seed)
    steps = StepsOnTrl(
        policy,
        Unwrapped(policy),
        rows.steps,
        1,
        context,
        facts_of=rows.facts,
        on_step=lambda step, facts: on_step(step, rows.steps, facts),
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
    models = _models(policy, steps, processes)
    size = part_size("dpo", settings.batch_size, settings, processes)
    trainer = rows.trainer(_pad(policy), size, shared, engine.trl, models)
    if "ref" in getattr(models["model"], "peft_config", {}):
        models["model"].delete_adapter("ref")  # TRL's copy of new adapters: the reference is the base without them
    with memory_for("a step of training", FOR_LESS_MEMORY):
        return steps.train(trainer)


@dataclass(frozen=True)
class PairRows:
    """Pairs in the order of the native engine, for TRL's DPO."""

    pairs: Sequence[PackedPair]
    settings: DpoSettings
    loss: str | None
    """A loss of TRL's; None for preceptor's."""
    seed: int

    def __post_init__(self) -> None:
        if self.loss is not None:
            _check_weights(self.loss, [pair.weight for pair in self.pairs])

    @property
    def steps(self) -> int:
        """Updates of the whole training."""
        return self.settings.epochs * math.ceil(len(self.pairs) / self.settings.batch_size)

    def facts(self, logs: Sequence[Logs]) -> tuple[DpoFacts, dict[str, float]]:
        """The facts of an update, from TRL's log of it."""
        [log] = logs
        return DpoFacts(**{field.name: log[field.name] for field in fields(DpoFacts)}), {}  # pyright: ignore

    def trainer(
        self, pad: int, size: int, shared: dict[str, Any], more: JsonObject, models: dict[str, Any]
    ) -> PairTrainer:
        """TRL's trainer.

        Args:
            pad: the token that fills rows up.
            size: pairs that a process computes together.
            shared: TRL's settings that do not depend on the rows.
            more: the recipe's settings of TRL's trainer.
            models: the trainer's models and callbacks.
        """
        ids, own = tuple(pair.id for pair in self.pairs), self.loss is None
        order = partial(_order, ids, self.seed)
        rows, of_dpo = pair_rows(self.pairs), {"loss_type": [self.loss or "sigmoid"]}
        return made_trainer(
            PairTrainer,
            Plan(order, self.settings, self.steps, len(ids), self.settings.batch_size, filled=own),
            own=self.settings if own else None,
            args=made(DPOConfig, shared | of_dpo | {"per_device_train_batch_size": size}, more),
            train_dataset=Dataset.from_list(filled_up(rows) if own else rows),
            data_collator=PairCollator(pad_token_id=pad),
            **models,
        )


@dataclass(frozen=True)
class ExampleRows:
    """Responses by themselves, for TRL's KTO. Every epoch has the same order, since each is compared with those beside
    it.
    """

    examples: Sequence[Example]
    settings: DpoSettings
    loss: str

    def __post_init__(self) -> None:
        _check_weights(self.loss, [example.weight for example in self.examples])

    @property
    def steps(self) -> int:
        """Updates of the whole training."""
        return steps_of(len(self.examples), self.settings)

    def facts(self, logs: Sequence[Logs]) -> tuple[KtoFacts, dict[str, float]]:
        """The facts of an update, from TRL's log of it."""
        [log] = logs
        return KtoFacts(**{field.name: log.get(field.name) for field in fields(KtoFacts)}), {}  # pyright: ignore

    def trainer(
        self, pad: int, size: int, shared: dict[str, Any], more: JsonObject, models: dict[str, Any]
    ) -> UnpairedTrainer:
        """TRL's trainer; see `PairRows.trainer`. Of responses, twice as many are computed together."""
        rows = unpaired_rows(self.examples, 2 * size)
        of_kto: dict[str, Any] = {"per_device_train_batch_size": 2 * size, "loss_type": self.loss}
        if self.settings.kind == "kto":
            loss = kto_loss(self.settings)
            of_kto |= {"desirable_weight": loss.desirable_weight, "undesirable_weight": loss.undesirable_weight}
        return made_trainer(
            UnpairedTrainer,
            Plan(lambda _: range(len(rows)), self.settings, self.steps, len(rows), 2 * self.settings.batch_size),
            args=made(KTOConfig, shared | of_kto, more),
            train_dataset=Dataset.from_list(rows),
            data_collator=UnpairedCollator(pad_token_id=pad),
            **models,
        )


def _order(ids: tuple[str, ...], seed: int, epoch: int) -> Sequence[int]:
    """The places of all pairs in the order of an epoch."""
    return order_of_epoch(ids, epoch, seed)


def _check_weights(loss: str, weights: Sequence[float]) -> None:
    """Raises: UsageError unless all weights are the same."""
    if len(set(weights)) > 1:
        raise UsageError(
            f'the loss "{loss}" on TRL: the rows have different weights, of which TRL\'s losses know nothing; give '
            "every row one weight, or choose a loss of preceptor's (dpo.kind, without engine.loss_type)"
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
