"""Running out of memory names the settings to lower, wherever it happens."""

from collections.abc import Callable
from typing import Any

import pytest
import torch

from preceptor.core.errors import PreceptorError
from preceptor.training.memory import memory_for
from preceptor.training.policy import Policy
from rl_small import policy_for, sampled, settings_of, some_rewards, taught

SETTINGS = settings_of("rloo")


def huge() -> None:
    torch.empty(2**60)  # more than an address space holds


def on_cuda() -> None:
    raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")


def in_cublas() -> None:
    raise RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`")


def in_python() -> None:
    raise MemoryError


@pytest.mark.parametrize("fail", [huge, on_cuda, in_cublas, in_python])
def test_every_kind_is_known(fail: Callable[[], None]) -> None:
    with (
        pytest.raises(PreceptorError, match=r"out of memory in a test: lower this; tuning\.gradient_checkpointing"),
        memory_for("a test", "this"),
    ):
        fail()


def test_other_errors_stay_what_they_are() -> None:
    with pytest.raises(RuntimeError, match="must match the size"), memory_for("a test", "this"):
        torch.ones(2).add(torch.ones(3))


def forward_fails(policy: Policy) -> None:
    decoder: Any = policy.base.model.model
    decoder.register_forward_pre_hook(lambda *_: huge())


def backward_fails(policy: Policy) -> None:
    policy.trainable[0].register_hook(lambda _: huge())


def test_sampling_names_what_it_is_made_of() -> None:
    policy = policy_for(SETTINGS)
    forward_fails(policy)
    with pytest.raises(PreceptorError, match=r"in sampling: lower rl\.group_size or rl\.max_new_tokens; "):
        sampled(policy, SETTINGS)


@pytest.mark.parametrize(("fail", "doing"), [(forward_fails, "a forward pass"), (backward_fails, "a backward pass")])
def test_an_update_names_gradient_accumulation(fail: Callable[[Policy], None], doing: str) -> None:
    policy = policy_for(SETTINGS)
    groups = sampled(policy, SETTINGS)
    fail(policy)
    with pytest.raises(PreceptorError, match=rf"in {doing}: lower the batch \(raise gradient_accumulation_steps\)"):
        taught(policy, SETTINGS, groups, some_rewards(groups))
