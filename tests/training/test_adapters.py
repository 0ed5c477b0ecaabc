"""Adapters computed in one product against peft's own forward pass."""

import copy
import warnings
from typing import Any

import pytest
import torch
from peft import get_peft_model

from conftest import make_model
from preceptor.training.adapters import adapted, lora_config
from preceptor.training.tuning import TuningSettings

IDS = torch.tensor([[5, 6, 7, 8, 9, 10]])


def both(dtype: torch.dtype) -> tuple[Any, Any]:
    """The same base under the same adapters, ours and peft's, after the adapters have left zero."""
    ours = adapted(make_model(dtype=dtype).model, lora_config(TuningSettings(rank=4), "CAUSAL_LM"), 0)
    theirs = get_peft_model(make_model(dtype=dtype).model, lora_config(TuningSettings(rank=4), "CAUSAL_LM"))
    torch.manual_seed(1)
    for name, weight in ours.named_parameters():
        if "lora_" in name:
            torch.nn.init.normal_(weight, std=0.1)
    theirs.load_state_dict(copy.deepcopy(ours.state_dict()))
    return ours, theirs


def computed(model: Any, *, bf16: bool) -> tuple[torch.Tensor, list[torch.Tensor]]:
    with torch.autocast("cpu", dtype=torch.bfloat16, enabled=bf16):
        logits = model(IDS, use_cache=False).logits.float()
    (logits * torch.linspace(-1, 1, logits.numel()).view(logits.shape)).sum().backward()
    return logits.detach(), [p.grad for p in model.parameters() if p.grad is not None]


def test_values_and_gradients_are_pefts() -> None:
    (ours, grads), (theirs, expected) = (computed(model, bf16=False) for model in both(torch.float32))
    torch.testing.assert_close(ours, theirs, atol=1e-5, rtol=1e-5)
    assert len(grads) == len(expected) > 0
    for one, other in zip(grads, expected, strict=True):
        assert float((one - other).norm() / other.norm()) < 1e-5


def test_in_bfloat16_adapters_and_their_gradients_stay_fp32_and_agree_but_for_rounding() -> None:
    (ours, grads), (theirs, expected) = (computed(model, bf16=True) for model in both(torch.bfloat16))
    assert float((ours - theirs).norm() / theirs.norm()) < 0.02
    assert {grad.dtype for grad in grads} == {torch.float32}
    one, other = (torch.cat([grad.flatten() for grad in each]) for each in (grads, expected))
    assert float(torch.nn.functional.cosine_similarity(one, other, dim=0)) == pytest.approx(1.0, abs=0.005)


def test_switched_off_or_merged_adapters_are_pefts() -> None:
    ours, theirs = both(torch.float32)
    with ours.disable_adapter(), theirs.disable_adapter():
        assert torch.equal(ours(IDS).logits, theirs(IDS).logits)
    ours.merge_adapter()
    theirs.merge_adapter()
    torch.testing.assert_close(ours(IDS).logits, theirs(IDS).logits, atol=1e-5, rtol=1e-5)


def test_adding_adapters_shows_users_no_advice_to_developers() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error", FutureWarning)
        model = adapted(make_model().model, lora_config(TuningSettings(rank=4), "CAUSAL_LM"), 0)
    assert any("lora_" in name for name, _ in model.named_parameters())
