"""Entropy of the distribution that each token was sampled from, exact, without keeping the probabilities in memory."""

from typing import Any

import torch
from torch import Tensor

from preceptor.objectives.log_probs import POSITIONS_AT_ONCE, check_positions


def token_entropies(logits_NV: Tensor, temperature: float = 1.0) -> Tensor:
    """-Σ p log p at each position, p the softmax of its logits divided by `temperature`, in fp32.

    The probabilities are computed again for the gradient, a few positions at a time.

    Args:
        logits_NV: N positions × V vocabulary entries, any float type.

    Returns: N numbers from 0 to log V, in nats, fp32, differentiable with respect to the logits.
    """
    return _Entropies.apply(logits_NV, temperature)  # pyright: ignore[reportReturnType]


def head_log_probs_and_entropies(
    hidden_NH: Tensor, weight_VH: Tensor, tokens_N: Tensor, temperature: float = 1.0
) -> tuple[Tensor, Tensor]:
    """`head_log_probs`, and the entropies of the same distributions, from one computation of the logits.

    The gradients of both with respect to the hidden states are computed along with them: besides those of
    `head_log_probs`, N × H more numbers are kept.

    Returns: N natural logarithms and N entropies in nats, fp32, differentiable with respect to the hidden states.
    Raises: ValueError as `head_log_probs`.
    """
    check_positions(hidden_NH, tokens_N, temperature)
    return _HeadEntropies.apply(hidden_NH, weight_VH, tokens_N, temperature)  # pyright: ignore[reportReturnType]


class _Entropies(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, logits_NV: Tensor, temperature: float) -> Tensor:
        ctx.save_for_backward(logits_NV)
        ctx.temperature = temperature
        parts = [_distribution(part_CV, temperature) for part_CV in logits_NV.split(POSITIONS_AT_ONCE)]
        return torch.cat([entropy_C for _, _, entropy_C in parts]) if parts else logits_NV.new_zeros(0).float()

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        (logits_NV,) = ctx.saved_tensors
        slope_NV = torch.empty_like(logits_NV)
        for start in range(0, len(logits_NV), POSITIONS_AT_ONCE):
            part = slice(start, start + POSITIONS_AT_ONCE)
            log_shares_CV, shares_CV, entropy_C = _distribution(logits_NV[part], ctx.temperature)
            slope_CV = _slope(log_shares_CV, shares_CV, entropy_C).mul_(grads[0][part, None] / ctx.temperature)
            slope_NV[part] = slope_CV.to(slope_NV.dtype)
        return slope_NV, None


class _HeadEntropies(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, hidden_NH: Tensor, weight_VH: Tensor, tokens_N: Tensor, temperature: float
    ) -> tuple[Tensor, Tensor]:
        log_probs_N, entropies_N = (
            torch.empty(len(tokens_N), dtype=torch.float32, device=hidden_NH.device) for _ in range(2)
        )
        wanted = ctx.needs_input_grad[0]
        slopes = [torch.empty_like(hidden_NH, dtype=weight_VH.dtype) for _ in range(2)] if wanted else []
        with torch.autocast(hidden_NH.device.type, enabled=False):
            for start in range(0, len(tokens_N), POSITIONS_AT_ONCE):
                part = slice(start, start + POSITIONS_AT_ONCE)
                tokens_C = tokens_N[part]
                logits_CV = hidden_NH[part].to(weight_VH.dtype) @ weight_VH.T
                log_shares_CV, shares_CV, entropy_C = _distribution(logits_CV, temperature)
                log_probs_N[part] = log_shares_CV.gather(1, tokens_C[:, None]).squeeze(1)
                entropies_N[part] = entropy_C
                if slopes:
                    mean_CH = shares_CV.to(weight_VH.dtype) @ weight_VH
                    slopes[0][part] = (weight_VH[tokens_C] - mean_CH).div_(temperature)
                    slope_CV = _slope(log_shares_CV, shares_CV, entropy_C).to(weight_VH.dtype)
                    slopes[1][part] = (slope_CV @ weight_VH).div_(temperature)
        ctx.slopes = slopes
        return log_probs_N, entropies_N

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        of_log_probs_NH, of_entropies_NH = ctx.slopes
        slope_NH = grads[0][:, None] * of_log_probs_NH + grads[1][:, None] * of_entropies_NH
        return slope_NH.to(of_log_probs_NH.dtype), None, None, None


def _distribution(logits_CV: Tensor, temperature: float) -> tuple[Tensor, Tensor, Tensor]:
    """Log-probabilities and probabilities of C positions, and the entropies."""
    log_shares_CV = torch.log_softmax(logits_CV.float().div(temperature), dim=-1)
    shares_CV = log_shares_CV.exp()
    return log_shares_CV, shares_CV, torch.special.entr(shares_CV).sum(dim=-1)


def _slope(log_shares_CV: Tensor, shares_CV: Tensor, entropy_C: Tensor) -> Tensor:
    """∂H / ∂(scaled logits) = -p (log p + H); 0 where p is."""
    return torch.where(shares_CV > 0, -shares_CV * (log_shares_CV + entropy_C[:, None]), 0.0)
