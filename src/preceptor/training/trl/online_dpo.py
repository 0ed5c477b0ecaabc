"""Online DPO (Guo et al. 2024) as a policy gradient, which TRL's RLOO trainer takes.

TRL's own OnlineDPOTrainer is experimental, learns which response is better and not how probably, and takes a reward
that is missing for 0. With one update in each step, the policy that learns is the one that sampled; then the gradient
of the loss of a pair, whose margin is h and whose label is p, is β (σ(h) - p) (∇ log π(first) - ∇ log π(second)).
"""

import torch
from torch import Tensor

from preceptor.objectives.preferences.dpo import Dpo
from preceptor.objectives.preferences.pairs import Pairs


def pair_advantages(rewards_P2: Tensor, log_ratios_P2: Tensor, beta: float) -> tuple[Tensor, Tensor]:
    """Advantages whose policy gradient, averaged over 2 P responses, is the gradient of the mean DPO loss of P pairs.

    The label of a pair is the probability that the first response is better, σ(its reward - the other's reward).

    Args:
        rewards_P2: NaN where a response has none.
        log_ratios_P2: log π - log π_ref of each whole response under the policy that sampled it, in nats.
        beta: β.

    Returns: the advantages, P × 2, and the losses, P; both 0 for a pair of which a reward is missing.
    """
    usable_P = ~rewards_P2.isnan().any(dim=1)
    p_first_P = torch.where(usable_P, torch.sigmoid(rewards_P2[:, 0] - rewards_P2[:, 1]), 0.5)
    first_P, second_P = log_ratios_P2.unbind(dim=1)
    losses_P = Dpo(beta).losses(Pairs(log_ratios_P2, p_first_P, torch.zeros_like(log_ratios_P2)))
    advantages_P = 2.0 * beta * (p_first_P - torch.sigmoid(beta * (first_P - second_P)))
    advantages_P, losses_P = (torch.where(usable_P, values_P, 0.0) for values_P in (advantages_P, losses_P))
    return torch.stack((advantages_P, -advantages_P), dim=1), losses_P
