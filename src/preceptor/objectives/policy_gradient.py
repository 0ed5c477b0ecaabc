"""Policy-gradient losses over whole responses."""

import torch
from torch import Tensor


def sequence_sums(values_N: Tensor, sequence_of_N: Tensor, count: int) -> Tensor:
    """Sums token values by response.

    Args:
        values_N: a value for each of N response tokens, responses one after another, no padding.
        sequence_of_N: the index of the response (0 to count - 1) that each token belongs to.

    Returns: the sums, one for each of `count` responses; differentiable.
    """
    if values_N.shape != sequence_of_N.shape:
        raise ValueError(f"values {tuple(values_N.shape)} and indices {tuple(sequence_of_N.shape)} do not fit")
    return values_N.new_zeros(count).index_add(0, sequence_of_N, values_N)


def clipped_sequence_loss(
    log_probs_B: Tensor, old_log_probs_B: Tensor, advantages_B: Tensor, clip_range: float
) -> Tensor:
    """-min(ρA, clip(ρ, 1-ε, 1+ε)A) for each response, ρ the probability ratio of the whole response.

    With `log_probs_B == old_log_probs_B` the gradient is that of REINFORCE, -A ∇ log π. The ratio at sequence level is
    RLOO's (Ahmadian et al. 2024), the clipping PPO's (Schulman et al. 2017, equation 7).

    Args:
        log_probs_B: log-probability of each of B responses under the policy being trained; carries the gradient.
        old_log_probs_B: the same under the policy that sampled them; no gradient flows into it.
        advantages_B: one per response.
        clip_range: ε.

    Returns: B losses; the caller averages.
    """
    if not log_probs_B.shape == old_log_probs_B.shape == advantages_B.shape or log_probs_B.ndim != 1:
        shapes = [tuple(t.shape) for t in (log_probs_B, old_log_probs_B, advantages_B)]
        raise ValueError(f"expected three arrays of one number per response, got shapes {shapes}")
    ratio_B = torch.exp(log_probs_B - old_log_probs_B.detach())
    clipped_B = ratio_B.clamp(1.0 - clip_range, 1.0 + clip_range)
    return -torch.minimum(ratio_B * advantages_B, clipped_B * advantages_B)
