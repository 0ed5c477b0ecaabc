"""Direct preference optimisation from probabilities: the loss of each pair, for labels that may be soft or noisy."""

from typing import Literal

import torch
from torch import Tensor
from torch.nn.functional import logsigmoid

DpoKind = Literal["sigmoid", "conservative", "robust"]


def implicit_rewards(policy_B: Tensor, reference_B: Tensor, beta: float) -> Tensor:
    """The implicit reward of a response, β (log π - log π_ref) (Rafailov et al. 2023, section 5.1).

    Args:
        policy_B: log-probability of each of B responses under the policy, in nats.
        reference_B: the same under the reference.
        beta: β.

    Returns: B rewards; comparable between responses to the same prompt only.
    Raises: ValueError when shapes disagree.
    """
    _check(policy_B, reference_B)
    return beta * (policy_B - reference_B)


def dpo_losses(
    policy_chosen_B: Tensor,
    policy_rejected_B: Tensor,
    reference_chosen_B: Tensor,
    reference_rejected_B: Tensor,
    beta: float,
    p_chosen_B: Tensor,
    kind: DpoKind = "sigmoid",
    label_smoothing: float = 0.0,
) -> Tensor:
    """The loss of each of B pairs. With h = β ((log π - log π_ref)(chosen) - (log π - log π_ref)(rejected)):

    - `sigmoid`: l(p) = -(p log σ(h) + (1 - p) log σ(-h)), the cross-entropy between label and policy (Rafailov et al.
      2023, equation 7, which has p = 1);
    - `conservative`: l((1 - ε) p + ε (1 - p)), where a label is wrong with probability ε (Mitchell 2023);
    - `robust`: ((1 - ε) l(p) - ε l(1 - p)) / (1 - 2 ε), whose expectation over labels that are flipped with
      probability ε is the loss of the labels before flipping (Chowdhury et al. 2024, equation 12).

    Args:
        policy_chosen_B, policy_rejected_B: log-probability of each whole response under the policy, in nats; they carry
            the gradient.
        reference_chosen_B, reference_rejected_B: the same under the reference; no gradient flows into them.
        beta: β, the cost of moving away from the reference; above 0.
        p_chosen_B: p, the probability that the chosen response is the better one; 1 is a hard label.
        kind: see above.
        label_smoothing: ε, below 0.5; `sigmoid` ignores it.

    Returns: B losses; the caller averages.
    Raises: ValueError when shapes disagree, or β, p or ε is out of range.
    """
    _check(policy_chosen_B, policy_rejected_B, reference_chosen_B, reference_rejected_B, p_chosen_B)
    if beta <= 0.0 or not 0.0 <= label_smoothing < 0.5:
        raise ValueError(f"expected beta > 0 and 0 <= label_smoothing < 0.5, got {beta} and {label_smoothing}")
    if bool(((p_chosen_B < 0.0) | (p_chosen_B > 1.0) | p_chosen_B.isnan()).any()):
        raise ValueError(f"labels must be probabilities, got {p_chosen_B.tolist()}")
    chosen_B = implicit_rewards(policy_chosen_B, reference_chosen_B.detach(), beta)
    margins_B = chosen_B - implicit_rewards(policy_rejected_B, reference_rejected_B.detach(), beta)
    if kind == "sigmoid":
        return _cross_entropy(margins_B, p_chosen_B)
    flipped_B = 1.0 - p_chosen_B
    if kind == "conservative":
        return _cross_entropy(margins_B, (1.0 - label_smoothing) * p_chosen_B + label_smoothing * flipped_B)
    as_labelled_B, as_flipped_B = _cross_entropy(margins_B, p_chosen_B), _cross_entropy(margins_B, flipped_B)
    return ((1.0 - label_smoothing) * as_labelled_B - label_smoothing * as_flipped_B) / (1.0 - 2.0 * label_smoothing)


def _cross_entropy(margins_B: Tensor, p_B: Tensor) -> Tensor:
    """-(p log σ(h) + (1 - p) log σ(-h)); stable for margins of any size."""
    return -(p_B * logsigmoid(margins_B) + (1.0 - p_B) * logsigmoid(-margins_B))


def _check(*arrays_B: Tensor) -> None:
    shapes = [tuple(array.shape) for array in arrays_B]
    if arrays_B[0].ndim != 1 or len(set(shapes)) != 1:
        raise ValueError(f"expected arrays of one number per pair, got shapes {shapes}")
    if not all(torch.is_floating_point(array) for array in arrays_B):
        raise ValueError(f"expected floating-point numbers, got {[str(array.dtype) for array in arrays_B]}")
