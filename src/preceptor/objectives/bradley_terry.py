"""The Bradley-Terry model of preferences: how a reward model learns from labels that may be soft."""

import torch
from torch import Tensor
from torch.nn.functional import logsigmoid


def soft_preference_loss(
    rewards_chosen_B: Tensor,
    rewards_rejected_B: Tensor,
    p_chosen_B: Tensor,
    weights_B: Tensor | None = None,
    center_coefficient: float = 0.0,
) -> Tensor:
    """The loss of each pair: -p log σ(r_c - r_r) - (1 - p) log σ(r_r - r_c) + κ (r_c + r_r)².

    The first two terms are the cross-entropy between the label and the softmax of the two rewards (Lee et al. 2023,
    section 2.1.2), which is the probability that a response wins in the model of Bradley & Terry (1952). It is minimal
    where that probability is p, so a soft label never pulls the rewards apart without bound. It depends only on
    differences of rewards; the last term keeps their mean near 0 (Eisenstein et al. 2023, equation 2).

    Args:
        rewards_chosen_B: rewards of the chosen responses of B pairs; carry the gradient.
        rewards_rejected_B: rewards of the rejected responses; carry the gradient.
        p_chosen_B: p, the probability that the chosen response is the better one; 1 is a hard label.
        weights_B: weight of each pair's loss; 1 when None.
        center_coefficient: κ.

    Returns: B losses, in nats where κ is 0; the caller averages.
    Raises: ValueError when shapes disagree, or a label, a weight or κ is out of range.
    """
    weights_B = torch.ones_like(rewards_chosen_B) if weights_B is None else weights_B
    shapes = [tuple(values.shape) for values in (rewards_chosen_B, rewards_rejected_B, p_chosen_B, weights_B)]
    if rewards_chosen_B.ndim != 1 or len(set(shapes)) != 1:
        raise ValueError(f"expected arrays of one number per pair, got shapes {shapes}")
    if not bool(((p_chosen_B >= 0.0) & (p_chosen_B <= 1.0)).all()):
        raise ValueError(f"labels must be probabilities, got {p_chosen_B.tolist()}")
    if not bool((weights_B > 0.0).all()) or center_coefficient < 0.0:
        raise ValueError(f"expected weights > 0 and center_coefficient >= 0, got {weights_B}, {center_coefficient}")
    margins_B = rewards_chosen_B - rewards_rejected_B
    losses_B = -(p_chosen_B * logsigmoid(margins_B) + (1.0 - p_chosen_B) * logsigmoid(-margins_B))
    if center_coefficient:
        losses_B = losses_B + center_coefficient * (rewards_chosen_B + rewards_rejected_B) ** 2
    return weights_B * losses_B
