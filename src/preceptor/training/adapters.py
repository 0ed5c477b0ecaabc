"""LoRA adapters (Hu et al. 2021) for all trainers, computed with fewer passes over memory than in peft."""

import warnings
from dataclasses import replace
from typing import Any

import torch
from peft import LoraConfig, get_peft_model
from peft.tuners.lora import Linear
from peft.tuners.tuners_utils import _check_lora_target_modules_mamba  # pyright: ignore[reportPrivateUsage]
from torch import Tensor

from preceptor.core.seeds import derive_seed
from preceptor.training.tuning import TuningSettings


def lora_config(tuning: TuningSettings, task_type: str, trained: str | None = None) -> LoraConfig:
    """Adapters on every linear layer.

    Args:
        trained: a module whose weights are all trained, besides the adapters.
    """
    return LoraConfig(
        r=tuning.rank,
        lora_alpha=tuning.alpha,  # pyright: ignore[reportArgumentType]  peft says int, takes any number
        target_modules="all-linear",
        modules_to_save=[trained] if trained else None,
        lora_dropout=0.0,
        task_type=task_type,
    )


def suited(config: LoraConfig, model: Any) -> LoraConfig:
    """The same configuration without layers that cannot have adapters: those that peft refuses, and routers that are
    linear layers by name but return more than one array.
    """
    unfit = {
        name.rpartition(".")[2]
        for name, layer in model.named_modules()
        if isinstance(layer, torch.nn.Linear) and not _takes_adapters(config, model, name, layer)
    }
    return replace(config, exclude_modules=sorted(unfit) or None)


def _takes_adapters(config: LoraConfig, model: Any, name: str, layer: torch.nn.Linear) -> bool:
    try:
        _check_lora_target_modules_mamba(config, model, name.rpartition(".")[2])
    except ValueError:
        return False
    if type(layer) is torch.nn.Linear:
        return True
    with torch.no_grad():
        return isinstance(layer(layer.weight.new_zeros(1, layer.in_features)), Tensor)


def adapted(model: Any, config: LoraConfig, seed: int) -> Any:
    """A model with new fp32 adapters, which compute in the precision of the layers that they adapt.

    Unusual linear layers, such as GPT-2's with transposed weights or those of a base in 4 bits, get peft's own.
    """
    torch.manual_seed(derive_seed(seed, "lora"))  # for the adapters' initial weights
    config = suited(config, model)
    if getattr(model, "hf_quantizer", None) is None:
        config._register_custom_module({torch.nn.Linear: PlainLinear})  # pyright: ignore[reportPrivateUsage]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # peft asks for a property that transformers has renamed
        return get_peft_model(model, config)


class PlainLinear(Linear):
    """peft's adapter of a linear layer, for plain LoRA without dropout, with fewer passes over memory."""

    divided = False
    """Whether the weights are divided among processes: then each is there only while peft calls its own layer."""

    def forward(self, x: Tensor, *args: Any, **kwargs: Any) -> Tensor:
        """... × inputs to ... × outputs."""
        base = self.get_base_layer()
        if self.divided or self.disable_adapters or self.merged or type(base) is not torch.nn.Linear:
            return super().forward(x, *args, **kwargs)
        [name] = self.active_adapters
        weights = (base.weight, base.bias, self.lora_A[name].weight, self.lora_B[name].weight)
        x_NI = x.to(base.weight.dtype).reshape(-1, x.shape[-1])
        output_NO: Any = _LoraProduct.apply(x_NI, *weights, self.scaling[name])
        return output_NO.view(*x.shape[:-1], -1)


class _LoraProduct(torch.autograd.Function):
    """x · Wᵀ + scale · (x · Aᵀ) · Bᵀ; the second product is added to the first in place. W and its bias are frozen."""

    @staticmethod
    def forward(
        ctx: Any, x_NI: Tensor, weight_OI: Tensor, bias_O: Tensor | None, a_RI: Tensor, b_OR: Tensor, scale: float
    ) -> Tensor:
        with torch.autocast(x_NI.device.type, enabled=False):
            a_RI, b_OR = a_RI.to(x_NI.dtype), b_OR.to(x_NI.dtype)
            inner_NR = x_NI @ a_RI.T
            output_NO = torch.nn.functional.linear(x_NI, weight_OI, bias_O).addmm_(inner_NR, b_OR.T, alpha=scale)
        ctx.save_for_backward(x_NI, inner_NR, weight_OI, a_RI, b_OR)
        ctx.scale = scale
        return output_NO

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        x_NI, inner_NR, weight_OI, a_RI, b_OR = ctx.saved_tensors
        [grad_NO] = grads
        grad_inner_NR = (grad_NO @ b_OR).mul_(ctx.scale)
        grad_a_RI = (grad_inner_NR.T @ x_NI).float()
        grad_b_OR = (grad_NO.T @ inner_NR).float().mul_(ctx.scale)
        grad_x_NI = (grad_NO @ weight_OI).addmm_(grad_inner_NR, a_RI) if ctx.needs_input_grad[0] else None
        return grad_x_NI, None, None, grad_a_RI, grad_b_OR, None
