"""Log-probabilities of tokens under a model's logits."""

from typing import Any

import torch
from torch import Tensor

POSITIONS_AT_ONCE = 64
"""Positions whose logits are computed together: few enough that they fit the processor's cache."""


def token_log_probs(logits_NV: Tensor, tokens_N: Tensor, temperature: float = 1.0) -> Tensor:
    """Log-probability of each token under the softmax of its logits divided by `temperature`, in fp32.

    Args:
        logits_NV: N positions × V vocabulary entries, any float type.
        tokens_N: the token taken at each position.
        temperature: the sampling temperature, so that the result is the log-probability of sampling the token.

    Returns: N natural logarithms, fp32, differentiable with respect to the logits.
    Raises: ValueError when shapes disagree or the temperature is not positive.
    """
    if logits_NV.ndim != 2 or tokens_N.shape != logits_NV.shape[:1]:
        raise ValueError(f"logits {tuple(logits_NV.shape)} and tokens {tuple(tokens_N.shape)} do not fit")
    if temperature <= 0.0:
        raise ValueError(f"temperature must be positive, got {temperature}")
    scaled_NV = logits_NV.to(torch.float32, copy=True).div_(
        temperature
    )  # in place: these arrays are the largest of all
    return -torch.nn.functional.cross_entropy(scaled_NV, tokens_N, reduction="none")


def head_log_probs(hidden_NH: Tensor, weight_VH: Tensor, tokens_N: Tensor, temperature: float = 1.0) -> Tensor:
    """`token_log_probs` of the logits hidden · weightᵀ, which are never all in memory at once.

    The gradient of a token's log-probability with respect to its hidden state is computed along with it, so that no
    probabilities are kept. The weight has no gradient.

    Args:
        hidden_NH: N last hidden states of H numbers.
        weight_VH: the output embeddings, frozen.

    Returns: N natural logarithms, fp32, differentiable with respect to the hidden states.
    Raises: ValueError as `token_log_probs`.
    """
    check_positions(hidden_NH, tokens_N, temperature)
    return _HeadLogProbs.apply(hidden_NH, weight_VH, tokens_N, temperature)  # pyright: ignore[reportReturnType]


def check_positions(hidden_NH: Tensor, tokens_N: Tensor, temperature: float) -> None:
    """Checks that there is a hidden state for each token.

    Raises: ValueError when there is not, or the temperature is not positive.
    """
    if hidden_NH.ndim != 2 or tokens_N.shape != hidden_NH.shape[:1]:
        raise ValueError(f"hidden states {tuple(hidden_NH.shape)} and tokens {tuple(tokens_N.shape)} do not fit")
    if temperature <= 0.0:
        raise ValueError(f"temperature must be positive, got {temperature}")


class _HeadLogProbs(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, hidden_NH: Tensor, weight_VH: Tensor, tokens_N: Tensor, temperature: float) -> Tensor:
        log_probs_N = torch.empty(len(tokens_N), dtype=torch.float32, device=hidden_NH.device)
        wanted = ctx.needs_input_grad[0]
        slope_NH = torch.empty_like(hidden_NH, dtype=weight_VH.dtype) if wanted else None
        with torch.autocast(hidden_NH.device.type, enabled=False):
            for start in range(0, len(tokens_N), POSITIONS_AT_ONCE):
                part = slice(start, start + POSITIONS_AT_ONCE)
                tokens_C = tokens_N[part]
                logits_CV = (hidden_NH[part].to(weight_VH.dtype) @ weight_VH.T).float().div_(temperature)
                total_C = torch.logsumexp(logits_CV, dim=-1)
                log_probs_N[part] = logits_CV.gather(1, tokens_C[:, None]).squeeze(1) - total_C
                if slope_NH is not None:
                    shares_CV = logits_CV.sub_(total_C[:, None]).exp_().to(weight_VH.dtype)
                    slope_NH[part] = (weight_VH[tokens_C] - shares_CV @ weight_VH).div_(temperature)
        ctx.slope_NH = slope_NH
        return log_probs_N

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        slope_NH: Tensor = ctx.slope_NH
        return (grads[0][:, None] * slope_NH).to(slope_NH.dtype), None, None, None
