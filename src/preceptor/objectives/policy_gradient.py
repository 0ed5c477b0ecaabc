"""Policy-gradient losses: over whole responses, over tokens, and of a value head."""

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


def clipped_loss(
    log_probs_X: Tensor,
    old_log_probs_X: Tensor,
    advantages_X: Tensor,
    clip_range: float,
    clip_range_high: float | None = None,
) -> Tensor:
    """-min(ρA, clip(ρ, 1-ε, 1+ε)A) for each act, ρ its probability ratio (Schulman et al. 2017, equation 7).

    An act is a token, as in PPO and GRPO, or a whole response, as in RLOO (Ahmadian et al. 2024). With `log_probs_X ==
    old_log_probs_X` the gradient is that of REINFORCE, -A ∇ log π. With the mean log-probability of each response's
    tokens, ρ is the length-normalised ratio of GSPO (Zheng et al. 2025, equations 5 and 7).

    Args:
        log_probs_X: log-probability of each of X acts under the policy being trained; carries the gradient.
        old_log_probs_X: the same under the policy that sampled them; no gradient flows into it.
        advantages_X: one per act.
        clip_range: ε.
        clip_range_high: ε above 1, if it is another (Yu et al. 2025, "DAPO", arXiv 2503.14476, section 3.1).

    Returns: X losses; the caller averages.
    """
    _check_same_length(log_probs_X, old_log_probs_X, advantages_X)
    ratio_X = torch.exp(log_probs_X - old_log_probs_X.detach())
    clipped_X = ratio_X.clamp(1.0 - clip_range, 1.0 + (clip_range if clip_range_high is None else clip_range_high))
    return -torch.minimum(ratio_X * advantages_X, clipped_X * advantages_X)


def weighted_loss(log_probs_X: Tensor, old_log_probs_X: Tensor, advantages_X: Tensor, clip_range: float) -> Tensor:
    """-min(ρ, 1+ε) A log π for each act, the weight without a gradient (MiniMax 2025, "CISPO", arXiv 2506.13585;
    without the lower bound of its definition, which they do not use either).

    Where `clipped_loss` has no gradient, since the ratio has left its range, this one still has a bounded one.

    Args: as `clipped_loss`.
    Returns: X losses; the caller averages. Their value is no objective; their gradient is the step.
    """
    _check_same_length(log_probs_X, old_log_probs_X, advantages_X)
    weight_X = torch.exp(log_probs_X - old_log_probs_X).clamp(max=1.0 + clip_range).detach()
    return -weight_X * advantages_X * log_probs_X


def truncated_importance(log_probs_X: Tensor, sampler_log_probs_X: Tensor, most: float) -> Tensor:
    """min(π / μ, C) for each act that μ sampled: what weights an estimate over μ's acts, so that it is one over π's
    (Ionides 2008; for rollouts of another engine Yao et al. 2025).

    Without the bound the estimate would be unbiased; with it, its variance is finite, and it is biased where π / μ > C.

    Args:
        log_probs_X: log-probability of each act under π, the policy at the time of sampling as the learner computes it.
        sampler_log_probs_X: the same as the sampler, μ, computed it.
        most: C.

    Returns: X weights without a gradient.
    """
    _check_same_length(log_probs_X, sampler_log_probs_X)
    return torch.exp(log_probs_X - sampler_log_probs_X).clamp(max=most).detach()


def clipped_value_loss(values_N: Tensor, old_values_N: Tensor, returns_N: Tensor, clip_range: float) -> Tensor:
    """½ max((V-R)², (clip(V, V_old ± ε) - R)²) for each token; limits how far the value head moves in one batch.

    Returns: N losses; gradient flows into `values_N` alone.
    """
    _check_same_length(values_N, old_values_N, returns_N)
    old_N, returns_N = old_values_N.detach(), returns_N.detach()
    clipped_N = old_N + (values_N - old_N).clamp(-clip_range, clip_range)
    return 0.5 * torch.maximum((values_N - returns_N) ** 2, (clipped_N - returns_N) ** 2)


def kl_estimate(log_probs_N: Tensor, reference_log_probs_N: Tensor) -> Tensor:
    """k3, an unbiased and never negative estimate of KL(π ‖ π_ref) at each token: exp(d) - 1 - d, d = log π_ref - log π
    (Schulman 2020; Shao et al. 2024, equation 4). Differentiable; for the loss.
    """
    _check_same_length(log_probs_N, reference_log_probs_N)
    difference_N = reference_log_probs_N.detach() - log_probs_N
    return torch.exp(difference_N) - 1.0 - difference_N


def _check_same_length(*arrays: Tensor) -> None:
    shapes = [tuple(array.shape) for array in arrays]
    if len(set(shapes)) != 1 or arrays[0].ndim != 1:
        raise ValueError(f"expected arrays of one number per token or response, got shapes {shapes}")
