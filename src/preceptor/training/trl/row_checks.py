"""What recipes that learn rows may ask of the TRL engine: SFT, DPO, KTO, reward models. Needs no torch."""

from collections.abc import Sequence

from preceptor.core.errors import UsageError, nearest
from preceptor.objectives.preferences.kinds import KINDS
from preceptor.training.dpo.settings import DpoSettings
from preceptor.training.trl.checks import NO_SETTING, owned_by
from preceptor.training.trl.fields import check_fields
from preceptor.training.trl.settings import EngineSettings

DPO_LOSSES = (
    "aot", "aot_unpaired", "apo_down", "apo_zero", "bco_pair", "discopop", "exo_pair", "hinge", "ipo", "nca_pair",
    "robust", "sft", "sigmoid", "sigmoid_norm", "sppo_hard",
)  # fmt: skip
"""The losses of TRL's DPO trainer, on pairs."""
KTO_LOSSES = ("apo_zero_unpaired", "kto")
"""The losses of TRL's KTO trainer, on responses by themselves."""
SFT_LOSSES = ("dft", "nll")
"""The losses of TRL's SFT trainer."""
_AS_NATIVE = "rows are encoded and ordered as on the native engine"
_ROWS = {
    "chat_template_path": _AS_NATIVE,
    "dataset_kwargs": _AS_NATIVE,
    "dataset_num_proc": _AS_NATIVE,
    "eos_token": _AS_NATIVE,
    "loss_type": "set engine.loss_type",
    "loss_weights": "engine.loss_type names one loss",
    "max_steps": NO_SETTING,
    "pad_token": _AS_NATIVE,
    "padding_free": NO_SETTING,
    "per_device_eval_batch_size": NO_SETTING,
    "precompute_ref_batch_size": NO_SETTING,
    "precompute_ref_log_probs": NO_SETTING,
    "shuffle_dataset": _AS_NATIVE,
    "sync_ref_model": "the reference is the model before training",
    "train_sampling_strategy": _AS_NATIVE,
    "truncation_mode": "what is too long is left out and counted",
}
_ONLY_OF_LOSSES = ("discopop_tau", "f_alpha_divergence_coef", "f_divergence_type", "ld_alpha", "use_weighting")
"""Settings of TRL's own DPO losses."""


def _owned(table: str) -> dict[str, str]:
    """The settings that preceptor makes itself, with what to set instead."""
    batch = f"set {table}.batch_size and {table}.gradient_accumulation_steps"
    return (
        owned_by(table)
        | _ROWS
        | {
            "max_length": f"set {table}.max_length",
            "num_train_epochs": f"set {table}.epochs",
            "per_device_train_batch_size": batch,
        }
    )


def check_samples_nothing(engine: EngineSettings, what: str) -> None:
    """Checks that no setting is for sampling in training.

    Args:
        what: what is trained.

    Raises: UsageError naming the setting.
    """
    if engine.vllm != "off":
        raise UsageError(
            f'engine.vllm = "{engine.vllm}": {what} samples nothing while it trains; leave it out. Responses to learn '
            "from are sampled before, by the native engine"
        )
    if engine.importance_sampling != "token":
        raise UsageError(f'engine.importance_sampling is for rl.algorithm = "grpo"; {what} has no ratios')


def check_whole_model(engine: EngineSettings, what: str) -> None:
    """Raises: UsageError when fine-tuning, whose result is one whole model, is asked to keep its base in 4 bits."""
    if engine.quantisation != "none":
        raise UsageError(
            f'engine.quantisation = "{engine.quantisation}": {what} makes one whole model, with its adapters merged '
            "into the weights, which 4 bits would round; leave it out"
        )


def check_sft(engine: EngineSettings, table: str) -> None:
    """Checks a method whose result is a fine-tuned model.

    Args:
        table: the recipe's table that has the settings of fine-tuning.

    Raises: UsageError that names the setting, and what to set instead.
    """
    check_samples_nothing(engine, "fine-tuning")
    check_whole_model(engine, "fine-tuning")
    _check_loss(engine, SFT_LOSSES, "SFT")
    of_rows = ("assistant_only_loss", "completion_only_loss", "dataset_text_field", "eval_packing", "packing")
    owned = _owned(table) | dict.fromkeys((*of_rows, "packing_strategy"), _AS_NATIVE)
    saved = dict.fromkeys(("save_steps", "save_strategy"), f"set {table}.checkpoint_every")
    check_fields("sft", engine.trl, owned | saved)


def check_reward_model(engine: EngineSettings) -> None:
    """Checks the training of a reward model by itself.

    Raises: UsageError that names the setting, and what to set instead.
    """
    check_samples_nothing(engine, "a reward model")
    check_whole_model(engine, "a reward model's training")
    if engine.loss_type is not None:
        raise UsageError("engine.loss_type: TRL has one loss of reward models; leave it out")
    saved = dict.fromkeys(("save_steps", "save_strategy"), "set reward_model.save_every")
    center = {"center_rewards_coefficient": "set reward_model.center_coefficient"}
    check_fields("reward", engine.trl, _owned("reward_model") | saved | center)


def check_dpo(engine: EngineSettings, dpo: DpoSettings, weights: Sequence[float], earlier_labels: float = 0.0) -> None:
    """Checks that TRL's trainers can learn the preferences, with the same meaning.

    Args:
        weights: of the sources of preferences.
        earlier_labels: what the weight of labels is multiplied by with each round; 0 where none are kept.

    Raises: UsageError that names the setting, and what to set instead.
    """
    check_samples_nothing(engine, KINDS[dpo.kind].title)
    _check_loss(engine, (*DPO_LOSSES, *KTO_LOSSES), "DPO")
    if engine.loss_type is not None and dpo.kind != "sigmoid":
        raise UsageError(
            f'engine.loss_type = "{engine.loss_type}" takes the place of dpo.kind, which says "{dpo.kind}": leave one '
            "of them out"
        )
    owned, loss = _owned("dpo") | {"beta": "set dpo.beta"}, preference_loss_on_trl(engine, dpo)
    if loss is None:
        owned |= dict.fromkeys(_ONLY_OF_LOSSES, "it belongs to TRL's own losses: name one in engine.loss_type")
        check_fields("dpo", engine.trl, owned | {"label_smoothing": "set dpo.kind and dpo.label_smoothing"})
        return
    _check_hard(loss, dpo, weights, earlier_labels)
    if loss == "exo_pair" and not engine.trl.get("label_smoothing"):
        raise UsageError('engine.loss_type = "exo_pair" needs engine.trl.label_smoothing above 0, such as 0.001')
    if dpo.kind == "kto":
        owned |= {name: f"set dpo.{name}" for name in KINDS["kto"].settings}
    check_fields("kto" if loss in KTO_LOSSES else "dpo", engine.trl, owned)


def preference_loss_on_trl(engine: EngineSettings, dpo: DpoSettings) -> str | None:
    """The loss of TRL's that learns the preferences: the one that is named, or its KTO for `kto`; None where TRL's
    trainer takes the loss from preceptor.
    """
    return "kto" if dpo.kind == "kto" else engine.loss_type


def _check_hard(loss: str, dpo: DpoSettings, weights: Sequence[float], earlier_labels: float) -> None:
    """TRL's losses take no probabilities and no weights."""
    said = 'dpo.kind = "kto" on TRL' if dpo.kind == "kto" else f'engine.loss_type = "{loss}"'
    otherwise = "run on the native engine" if dpo.kind == "kto" else "leave out engine.loss_type"
    if dpo.labels == "soft":
        raise UsageError(
            f"{said}: TRL's losses know which response is better, and not how probably; set "
            f'dpo.labels = "hard", or {otherwise} for the loss that learns probabilities'
        )
    if len(set(weights)) > 1:
        raise UsageError(
            f"{said}: TRL's losses know no weights; set preferences.ai_weight and preferences.human_weight to the same "
            f"number, or {otherwise}"
        )
    if earlier_labels not in (0.0, 1.0):
        raise UsageError(
            f"{said}: TRL's losses know no weights, and with rounds.earlier_labels = {earlier_labels:g} the labels of "
            f"earlier rounds weigh less; set it to 0 or 1, or {otherwise}"
        )


def _check_loss(engine: EngineSettings, losses: Sequence[str], trainer: str) -> None:
    if engine.loss_type is not None and engine.loss_type not in losses:
        raise UsageError(
            f'engine.loss_type = "{engine.loss_type}": TRL\'s {trainer} has no such loss; '
            f"{nearest(engine.loss_type, losses)}"
        )
