"""The configuration of accelerate with which `accelerate launch` trains a recipe in several processes."""

from importlib.util import find_spec
from pathlib import Path
from typing import Literal

from preceptor.core.errors import UsageError
from preceptor.core.types import JsonObject
from preceptor.results.shipped import EngineConfig
from preceptor.store.files import write_text, writing

Sharding = Literal["ddp", "fsdp2", "deepspeed"]

_COMMON: JsonObject = {
    "compute_environment": "LOCAL_MACHINE",
    "debug": False,
    "machine_rank": 0,
    "main_training_function": "main",
    "mixed_precision": "no",  # the recipe's tuning.precision says it
    "num_machines": 1,
    "rdzv_backend": "static",
    "same_network": True,
    "use_cpu": False,
}
_OF: dict[Sharding, JsonObject] = {
    "ddp": {"distributed_type": "MULTI_GPU"},
    "fsdp2": {
        "distributed_type": "FSDP",
        "fsdp_config": {
            "fsdp_version": 2,
            "fsdp_auto_wrap_policy": "TRANSFORMER_BASED_WRAP",
            "fsdp_reshard_after_forward": True,
            "fsdp_state_dict_type": "SHARDED_STATE_DICT",
            "fsdp_offload_params": False,
            "fsdp_activation_checkpointing": False,  # the recipe's tuning.gradient_checkpointing says it
            "fsdp_cpu_ram_efficient_loading": False,  # every process loads the weights, which are then the same
        },
    },
    "deepspeed": {
        "distributed_type": "DEEPSPEED",
        "deepspeed_config": {
            "zero_stage": 3,
            "zero3_init_flag": False,
            "zero3_save_16bit_model": True,
            "offload_optimizer_device": "none",
            "offload_param_device": "none",
            "deepspeed_multinode_launcher": "standard",
        },
    },
}
NEEDS: dict[Sharding, str] = {"fsdp2": "CUDA", "deepspeed": "CUDA and the package deepspeed"}
"""What the machine that trains needs."""


def engine_config(sharding: Sharding, *, processes: int, out: str | Path | None = None) -> EngineConfig:
    """The configuration of accelerate for the TRL engine in several processes on one machine.

    Examples:
        >>> print(engine_config("ddp", processes=2).text.splitlines()[2])
        distributed_type: MULTI_GPU

    Args:
        sharding: `ddp`, every process holds the whole model; `fsdp2` and `deepspeed` (ZeRO-3), each holds a part of it.
        processes: one for each GPU.
        out: the file to write, if any.

    Raises: UsageError when there are fewer than two processes, or the file exists; PreceptorError when it cannot be
        written.
    """
    if sharding not in _OF:
        raise UsageError(f'"{sharding}" is no way to divide a model; there are {", ".join(_OF)}')
    if processes < 2:
        raise UsageError(f"{processes} processes: accelerate needs no configuration for fewer than 2")
    values: JsonObject = {**_COMMON, **_OF[sharding], "num_processes": processes}
    text = _yaml(values)
    if out is not None:
        _write(Path(out), text)
    notes = [f"needs {NEEDS[sharding]}"] if sharding in NEEDS else []
    if sharding == "deepspeed" and find_spec("deepspeed") is None:
        notes.append("deepspeed is not installed here: pip install deepspeed")
    return EngineConfig(values=values, text=text, file=None if out is None else Path(out), notes=tuple(notes))


def _write(file: Path, text: str) -> None:
    if file.suffix not in (".yaml", ".yml"):
        raise UsageError(f"{file}: accelerate reads YAML by its ending; name a file that ends in .yaml")
    if file.exists():
        raise UsageError(f"{file}: already exists; name another file")
    with writing(file):
        file.parent.mkdir(parents=True, exist_ok=True)
    write_text(file, text)


def _yaml(values: JsonObject, indent: str = "") -> str:
    """Values whose words need no quotes but "no", which YAML reads as false."""
    lines: list[str] = []
    for name, value in sorted(values.items()):
        if isinstance(value, dict):
            lines += [f"{indent}{name}:\n{_yaml(value, indent + '  ')}"]
        else:
            shown = str(value).lower() if isinstance(value, bool) else "'no'" if value == "no" else str(value)
            lines += [f"{indent}{name}: {shown}\n"]
    return "".join(lines)
