"""What a recipe may ask of the TRL engine. Needs no torch, so that recipes are checked before torch is loaded."""

from importlib.util import find_spec

from preceptor.core.errors import UsageError, nearest
from preceptor.core.extras import require
from preceptor.training.rl.settings import LossName, RLSettings
from preceptor.training.trl.fields import check_fields
from preceptor.training.trl.settings import EngineSettings
from preceptor.training.tuning import TuningSettings

GRPO_LOSSES = ("bnpo", "cispo", "dapo", "dr_grpo", "grpo", "luspo", "sapo", "vespo")
"""The losses of TRL's GRPO trainer."""

_TRL_LOSSES: dict[LossName, str] = {"clip": "grpo", "dapo": "dapo", "cispo": "cispo", "gspo": "grpo"}
"""What computes a native loss; for "gspo", with one ratio for each response."""
_UNCLIPPED = ("cispo", "sapo", "vespo")
"""TRL's losses that do not clip ratios, or whose bound is another number."""
_OF_TRL = {
    "loss": ("epsilon_high",),
    "clip_range_high": ("epsilon_high",),
    "entropy_coefficient": ("entropy_", "use_adaptive_entropy"),
    "truncated_importance": ("vllm_importance_sampling_",),
}
"""Beginnings of the names of TRL's settings that a recipe's own settings decide on."""

NO_SETTING = "there is no recipe setting for it"
OWNED = {
    "accelerator_config": "write an accelerate configuration",
    "auto_find_batch_size": "set the batch in the recipe",
    "bf16": "set tuning.precision",
    "data_seed": "set seed",
    "ddp_timeout": NO_SETTING,
    "deepspeed": "write an accelerate configuration",
    "disable_dropout": "training has no dropout",
    "disable_tqdm": NO_SETTING,
    "do_eval": "evaluation.checkpoint_every says when checkpoints are measured",
    "do_predict": NO_SETTING,
    "do_train": NO_SETTING,
    "eval_on_start": "evaluation.checkpoint_every says when checkpoints are measured",
    "eval_steps": "set evaluation.checkpoint_every",
    "eval_strategy": "set evaluation.checkpoint_every",
    "fp16": "set tuning.precision",
    "fsdp": "write an accelerate configuration",
    "fsdp_config": "write an accelerate configuration",
    "gradient_checkpointing": "set tuning.gradient_checkpointing",
    "gradient_checkpointing_kwargs": "set tuning.gradient_checkpointing",
    "hub_model_id": "publish the finished run instead",
    "ignore_data_skip": NO_SETTING,
    "load_best_model_at_end": "the run itself chooses the best checkpoint",
    "log_level": NO_SETTING,
    "log_level_replica": NO_SETTING,
    "logging_nan_inf_filter": NO_SETTING,
    "logging_steps": "every step is logged to metrics.jsonl",
    "logging_strategy": "every step is logged to metrics.jsonl",
    "model_init_kwargs": "set policy, tuning and engine.quantisation",
    "output_dir": "the run's folder is given by --out",
    "push_to_hub": "publish the finished run instead",
    "remove_unused_columns": NO_SETTING,
    "report_to": "set tracking.with",
    "resume_from_checkpoint": "use --resume",
    "save_only_model": NO_SETTING,
    "save_steps": "set evaluation.checkpoint_every",
    "save_strategy": "set evaluation.checkpoint_every",
    "save_total_limit": NO_SETTING,
    "seed": "set seed",
    "trust_remote_code": "preceptor runs no code of models",
    "use_cpu": "CUDA_VISIBLE_DEVICES= hides GPUs",
    "weight_decay": "training has no weight decay",
}
"""Settings that every trainer has and preceptor makes itself, with what to do instead."""


def owned_by(table: str) -> dict[str, str]:
    """The settings of optimisation that preceptor makes from a recipe's table, with what to set instead."""
    names = {
        "optim": "optimizer",
        "learning_rate": "learning_rate",
        "lr_scheduler_type": "schedule",
        "lr_scheduler_kwargs": "schedule",
        "warmup_steps": "warmup_steps",
        "warmup_ratio": "warmup_steps",
        "max_grad_norm": "max_grad_norm",
        "gradient_accumulation_steps": "gradient_accumulation_steps",
    }
    return OWNED | {theirs: f"set {table}.{ours}" for theirs, ours in names.items()}


RL_OWNED = owned_by("rl") | {
    "beta": "set rl.kl_coefficient",
    "chat_template_kwargs": "prompts are encoded as on the native engine",
    "epsilon": "set rl.clip_range",
    "generation_batch_size": "set rl.prompts_per_step, rl.group_size and rl.minibatches",
    "importance_sampling_level": "set engine.importance_sampling",
    "loss_type": "set engine.loss_type",
    "max_completion_length": "set rl.max_new_tokens",
    "max_steps": "set rl.steps",
    "multi_objective_aggregation": "set rewards.aggregation",
    "num_generations": "set rl.group_size",
    "num_generations_eval": "set evaluation.samples_per_prompt",
    "num_iterations": "set rl.epochs_per_batch",
    "num_train_epochs": "set rl.steps",
    "per_device_eval_batch_size": NO_SETTING,
    "per_device_train_batch_size": "set rl.prompts_per_step, rl.group_size and rl.gradient_accumulation_steps",
    "reward_clip_range": "set reward_processing.clip",
    "reward_weights": "set rewards.weights",
    "scale_rewards": "set rl.scale_advantages",
    "shuffle_dataset": "prompts come in the order of the native engine",
    "steps_per_generation": "set rl.minibatches and rl.gradient_accumulation_steps",
    "sync_ref_model": "the reference is the model before training",
    "temperature": "set rl.temperature",
    "use_vllm": "set engine.vllm",
    "vllm_mode": "set engine.vllm",
    "vllm_server_base_url": "set engine.vllm_server",
    "vllm_server_host": "set engine.vllm_server",
    "vllm_server_port": "set engine.vllm_server",
}
"""Settings of TRL's RLOO and GRPO trainers that preceptor makes itself, with what to do instead."""


SAMPLING_OWNED = {
    "do_sample": NO_SETTING,
    "eos_token_id": "the model's own tokens end a response",
    "max_new_tokens": "set rl.max_new_tokens",
    "max_tokens": "set rl.max_new_tokens",
    "n": "set rl.group_size",
    "num_return_sequences": "set rl.group_size",
    "seed": "set seed",
    "temperature": "set rl.temperature",
}
"""Settings in `engine.trl.generation_kwargs`, of transformers or vLLM, that preceptor makes itself."""


def check_engine(engine: EngineSettings, tuning: TuningSettings) -> None:
    """Checks what does not depend on the method.

    Raises: UsageError that says what does not fit, or which package is missing.
    """
    if not engine.is_trl:
        if engine != EngineSettings():
            key = next(name for name, value in engine if value != getattr(EngineSettings(), name))
            raise UsageError(f'engine.{key} is for the TRL engine: set engine.name = "trl" too, or leave it out')
        return
    require('engine.name = "trl" needs', "trl", "accelerate")
    _check_vllm(engine)
    if engine.quantisation == "4bit":
        if tuning.method != "lora":
            raise UsageError('engine.quantisation = "4bit" freezes the base: it needs tuning.method = "lora"')
        _need("bitsandbytes", 'engine.quantisation = "4bit"')


def objective_on_trl(engine: EngineSettings, rl: RLSettings) -> dict[str, str | float | bool]:
    """The arguments of TRL's GRPO trainer that stand for the loss, and for what the settings add to it.

    Without `rl.truncated_importance`, what TRL does about vLLM's probabilities is left to it.
    """
    cispo = rl.loss == "cispo"
    high = rl.clip_range if rl.clip_range_high is None else rl.clip_range_high
    arguments: dict[str, str | float | bool] = {
        "loss_type": trl_loss(engine, rl),
        "importance_sampling_level": "sequence" if rl.loss == "gspo" else engine.importance_sampling,
        "scale_rewards": "group" if rl.scale_advantages else "none",
    }
    if cispo or rl.clip_range_high is not None:
        arguments["epsilon_high"] = 1.0 + high if cispo else high  # of the loss cispo, TRL's is the bound itself
    if rl.entropy_coefficient:
        arguments["entropy_coef"] = rl.entropy_coefficient
    if rl.truncated_importance is not None:
        of = "sequence" if rl.loss == "gspo" or engine.importance_sampling == "sequence" else "token"
        arguments |= {
            "vllm_importance_sampling_correction": True,
            "vllm_importance_sampling_mode": f"{of}_truncate",
            "vllm_importance_sampling_clip_max": rl.truncated_importance,
        }
    return arguments


def check_rl(engine: EngineSettings, rl: RLSettings) -> None:
    """Checks that TRL's trainers can do what the RL settings ask for, with the same meaning.

    Raises: UsageError that names the setting, and what to set instead.
    """
    name = rl.algorithm
    if name not in ("rloo", "grpo", "online_dpo"):
        raise UsageError(
            f'rl.algorithm = "{name}": TRL has no such algorithm for this method; it runs on the native engine only, '
            'or choose "rloo", "grpo" or "online_dpo"'
        )
    for key, asked in (("kl_target", rl.kl_target is not None), ("dynamic_sampling", rl.dynamic_sampling > 0)):
        if asked:
            raise UsageError(f"rl.{key}: TRL does not have this; it runs on the native engine only")
    if name == "online_dpo":
        _check_online_dpo(rl)
    elif rl.kl_coefficient > 0 and rl.kl_in != (where := "reward" if name == "rloo" else "loss"):
        raise UsageError(
            f'rl.kl_in = "{rl.kl_in}": TRL\'s {name} takes the KL into the {where}; set rl.kl_in = "{where}"'
        )
    _check_loss(engine, rl)
    _check_parts(rl)
    check_fields("rloo" if name == "online_dpo" else name, engine.trl, RL_OWNED | _owned_too(name))
    sampling = engine.trl.get("generation_kwargs")
    for key in sampling if isinstance(sampling, dict) else ():
        if key in SAMPLING_OWNED:
            raise UsageError(f"engine.trl.generation_kwargs.{key}: preceptor sets this itself; {SAMPLING_OWNED[key]}")


def trl_loss(engine: EngineSettings, rl: RLSettings) -> str:
    """The loss of TRL's GRPO trainer: the one that is named, or the one that computes what the native engine does."""
    return engine.loss_type or ("dr_grpo" if rl.length_unbiased else _TRL_LOSSES[rl.loss])


def _check_objective(engine: EngineSettings, rl: RLSettings) -> None:
    """What the settings of the loss are on TRL, where it has them.

    Raises: UsageError where it does not have them, or has them with another meaning.
    """
    if rl.algorithm != "grpo":
        for key in _asked(rl) - {"clip_range_high"}:
            raise UsageError(f'rl.{key}: TRL has this for rl.algorithm = "grpo" only, the native engine for others too')
    if rl.loss != "clip" and (engine.loss_type is not None or engine.importance_sampling != "token"):
        key = "importance_sampling" if engine.loss_type is None else "loss_type"
        raise UsageError(f'rl.loss = "{rl.loss}" and engine.{key} both say what the loss is: leave one out')
    if rl.loss == "gspo" and rl.kl_coefficient > 0:
        raise UsageError(
            'rl.loss = "gspo": TRL would weight the KL by the ratio of the whole response; set rl.kl_coefficient = 0, '
            "as in GSPO's paper, or use the native engine"
        )
    if rl.clip_range_high is not None and engine.loss_type in _UNCLIPPED:
        raise UsageError(f'rl.clip_range_high: engine.loss_type = "{engine.loss_type}" does not clip ratios at 1 + ε')
    if rl.truncated_importance is not None and engine.vllm == "off":
        raise UsageError(
            "rl.truncated_importance: without vLLM, TRL samples with the very weights that it trains, and there is "
            "nothing to correct; set engine.vllm, or leave it out"
        )
    for key in _asked(rl):
        for name in sorted(name for name in engine.trl if name.startswith(_OF_TRL[key])):
            raise UsageError(f"engine.trl.{name} is settled by rl.{key}: leave one out")


def _asked(rl: RLSettings) -> set[str]:
    """The settings of the loss that are not as they are by default."""
    return {key for key in _OF_TRL if getattr(rl, key) != getattr(RLSettings(), key)}


def _check_loss(engine: EngineSettings, rl: RLSettings) -> None:
    _check_objective(engine, rl)
    if rl.algorithm != "grpo":
        for key, given in (("loss_type", engine.loss_type), ("importance_sampling", engine.importance_sampling)):
            if given not in (None, "token"):
                raise UsageError(
                    f'engine.{key} is for rl.algorithm = "grpo"; {rl.algorithm} has one loss, of whole responses'
                )
        return
    loss = trl_loss(engine, rl)
    if loss not in GRPO_LOSSES:
        raise UsageError(f'engine.loss_type = "{loss}": TRL\'s GRPO has no such loss; {nearest(loss, GRPO_LOSSES)}')
    if rl.length_unbiased and loss != "dr_grpo":
        raise UsageError(f'rl.length_unbiased is the loss "dr_grpo"; engine.loss_type says "{loss}": leave one out')
    if loss == "luspo" and engine.importance_sampling != "sequence":
        raise UsageError('engine.loss_type = "luspo" is made for engine.importance_sampling = "sequence"')
    if loss == "vespo" and engine.importance_sampling != "token":
        raise UsageError('engine.loss_type = "vespo" weights whole responses itself: leave out importance_sampling')


def _owned_too(algorithm: str) -> dict[str, str]:
    """Settings of TRL's RLOO that have no effect on another algorithm."""
    return {"normalize_advantages": "online_dpo has none"} if algorithm == "online_dpo" else {}


def _check_online_dpo(rl: RLSettings) -> None:
    """With several updates the policy that learns is no longer the one that sampled."""
    for key, updates in (("minibatches", rl.minibatches), ("epochs_per_batch", rl.epochs_per_batch)):
        if updates > 1:
            raise UsageError(f"rl.{key} = {updates}: online_dpo takes one update in each step on TRL; set it to 1")


def _check_parts(rl: RLSettings) -> None:
    """TRL divides the responses of a step into parts of one size."""
    responses, parts = rl.prompts_per_step * rl.group_size, rl.minibatches * rl.gradient_accumulation_steps
    if responses % parts:
        raise UsageError(
            f"a step has {responses} responses (rl.prompts_per_step × rl.group_size), which TRL cannot divide into "
            f"{parts} equal parts (rl.minibatches × rl.gradient_accumulation_steps)"
        )


def _check_vllm(engine: EngineSettings) -> None:
    if engine.vllm == "off":
        if engine.vllm_server is not None:
            raise UsageError('engine.vllm_server is for engine.vllm = "server": set that too, or leave it out')
        return
    if engine.vllm == "server" and engine.vllm_server is None:
        raise UsageError('engine.vllm = "server": set engine.vllm_server to its address, such as http://localhost:8000')
    if engine.vllm == "colocate" and engine.vllm_server is not None:
        raise UsageError('engine.vllm_server is for engine.vllm = "server"; "colocate" needs no server')
    _need("vllm", f'engine.vllm = "{engine.vllm}"')


def _need(package: str, setting: str) -> None:
    if find_spec(package) is None:
        raise UsageError(f"{setting} needs the package {package}, which is not installed: pip install {package}")
