"""Models that are divided among processes (FSDP, DeepSpeed's ZeRO-3), and the whole policy beside them.

Only the main process measures and writes checkpoints, and a divided model computes only in all processes together. So
the main process keeps the policy whole and trains a copy; before it looks, the trained weights are gathered into the
policy. That costs the main process the memory of one more model.
"""

import copy
import os
from typing import Any

import torch
from torch import Tensor
from torch.distributed.tensor import DTensor

from preceptor.core.errors import UsageError
from preceptor.training.adapters import PlainLinear
from preceptor.training.policy import Policy
from preceptor.training.processes import Processes

_SWITCHES = ("ACCELERATE_USE_FSDP", "ACCELERATE_USE_DEEPSPEED")
"""What `accelerate launch` sets for its configurations."""


def divides(processes: Processes) -> bool:
    """Whether this launch divides models among its processes."""
    return processes.count > 1 and any(os.environ.get(name, "").lower() == "true" for name in _SWITCHES)


def model_to_train(policy: Policy, processes: Processes) -> Any:
    """The model for a trainer: the policy's own, but a copy where a whole policy is needed beside a divided model."""
    if not divides(processes):
        return policy.model
    model = copy.deepcopy(policy.model) if processes.is_main else policy.model
    for module in model.modules():
        if isinstance(module, PlainLinear):
            module.divided = True
    inner = model.get_base_model() if hasattr(model, "get_base_model") else model
    inner._is_fsdp_managed_module = True  # processes whose responses are finished take part until those of all are
    return model


def check_trained(trained: Any, policy: Policy, processes: Processes) -> None:
    """Checks that the policy stays whole.

    Raises: UsageError when its own model would be divided.
    """
    if divides(processes) and processes.is_main and trained is policy.model:
        raise UsageError(
            "this training cannot divide the model among processes: launch it with the configuration that "
            "`preceptor engine config ddp` writes"
        )


def check_whole(what: str, processes: Processes) -> None:
    """Checks that a training keeps its model whole in every process.

    Args:
        what: is trained, in words.

    Raises: UsageError when this launch divides models.
    """
    if divides(processes):
        raise UsageError(
            f"{what} cannot be divided among processes: launch this with the configuration that `preceptor engine "
            "config ddp` writes, and then the rest of the run with another"
        )


def bring(trained: Any, policy: Policy, processes: Processes) -> None:
    """Gathers the trained weights of a divided model into the main process's policy. Every process calls it."""
    if not divides(processes):
        return
    weights = {name: _whole(weight) for name, weight in trained.named_parameters() if weight.requires_grad}
    if processes.is_main:
        policy.model.load_state_dict(weights, strict=False)


@torch.no_grad()
def _whole(weight: Tensor) -> Tensor:
    if isinstance(weight, DTensor):
        return weight.full_tensor()
    if hasattr(weight, "ds_id"):
        from deepspeed.zero import GatheredParameters  # pyright: ignore[reportMissingImports]

        with GatheredParameters([weight]):
            return weight.detach().clone()
    return weight.detach()
