"""LoRA adapters (Hu et al. 2021), as every learner has them; computed in fewer passes over memory than peft takes."""

from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from peft import LoraConfig, get_peft_model
from peft.tuners.lora import Linear
from torch import Tensor

from preceptor.core.seeds import derive_seed
from preceptor.training.tuning import TuningSettings


def lora_config(tuning: TuningSettings, task_type: str, trained: str | None = None) -> LoraConfig:
    """Adapters on every linear layer.

    Args:
        trained: a module that learns whole, beside the adapters.
    """
    return LoraConfig(
        r=tuning.rank,
        lora_alpha=tuning.alpha,  # pyright: ignore[reportArgumentType]  peft says int, takes any number
        target_modules="all-linear",
        modules_to_save=[trained] if trained else None,
        lora_dropout=0.0,
        task_type=task_type,
    )


def adapted(model: Any, config: LoraConfig, seed: int) -> Any:
    """A model under new fp32 adapters, which compute in the precision of the layers that they adapt."""
    torch.manual_seed(derive_seed(seed, "lora"))  # the adapters' first weights
    under: Any = get_peft_model(model, config)
    for layer in under.modules():
        if isinstance(layer, Linear):
            layer.forward = partial(_forward, layer, layer.forward)
    return under


def _forward(layer: Any, peft_forward: Callable[[Tensor], Tensor], x: Tensor) -> Tensor:
    """What peft computes for plain LoRA without dropout."""
    if layer.disable_adapters or layer.merged:
        return peft_forward(x)
    [name] = layer.active_adapters
    base = layer.get_base_layer()
    weights = (base.weight, base.bias, layer.lora_A[name].weight, layer.lora_B[name].weight)
    return _LoraProduct.apply(x.to(base.weight.dtype), *weights, layer.scaling[name])  # pyright: ignore


class _LoraProduct(torch.autograd.Function):
    """x · Wᵀ + scale · (x · Aᵀ) · Bᵀ, the second product added within the first; W and its bias are frozen."""

    @staticmethod
    def forward(
        ctx: Any, x: Tensor, weight_OI: Tensor, bias_O: Tensor | None, a_RI: Tensor, b_OR: Tensor, scale: float
    ) -> Tensor:
        with torch.autocast(x.device.type, enabled=False):
            x_NI = x.reshape(-1, x.shape[-1])
            a_RI, b_OR = a_RI.to(x.dtype), b_OR.to(x.dtype)
            inner_NR = x_NI @ a_RI.T
            output_NO = torch.nn.functional.linear(x_NI, weight_OI, bias_O).addmm_(inner_NR, b_OR.T, alpha=scale)
        ctx.save_for_backward(x_NI, inner_NR, weight_OI, a_RI, b_OR)
        ctx.scale, ctx.shape = scale, x.shape
        return output_NO.view(*x.shape[:-1], -1)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        x_NI, inner_NR, weight_OI, a_RI, b_OR = ctx.saved_tensors
        grad_NO = grads[0].reshape(-1, grads[0].shape[-1])
        grad_inner_NR = (grad_NO @ b_OR).mul_(ctx.scale)
        grad_a_RI = (grad_inner_NR.T @ x_NI).float()
        grad_b_OR = (grad_NO.T @ inner_NR).float().mul_(ctx.scale)
        grad_x = None
        if ctx.needs_input_grad[0]:
            grad_x = (grad_NO @ weight_OI).addmm_(grad_inner_NR, a_RI).view(ctx.shape)
        return grad_x, None, None, grad_a_RI, grad_b_OR, None
