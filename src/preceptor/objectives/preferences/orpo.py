"""ORPO (Hong et al. 2024): no reference; likelihood of the better response, and its odds against the other's.

With m the mean log-probability of a token, a response has the odds exp(m) / (1 - exp(m)). A hard label has the loss
-m(chosen) - λ log σ(log odds(chosen) - log odds(rejected)) (equations 6 and 7). The loss of a label p is its mean over
hard labels: -(p m(chosen) + (1 - p) m(rejected)) + λ times the cross-entropy of p and σ(log ratio of the odds). The
odds alone are minimal where that is p; the likelihood alone where each response is as probable as it is better.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from preceptor.objectives.preferences.pairs import Pairs, check_beta, cross_entropy, margins

MOST = -1e-7
"""A mean log-probability is at most this: the odds of a certain response are infinite."""


@dataclass(frozen=True)
class Orpo:
    """Likelihood and odds. Raises: ValueError when λ is not above 0."""

    beta: float
    """λ, the weight of the odds; 0.1 to 0.25 in the paper."""

    def __post_init__(self) -> None:
        check_beta(self.beta)

    def rewards(self, pairs: Pairs) -> Tensor:
        """The log odds of each response, B × 2."""
        means_B2 = pairs.per_token(pairs.policy_B2).clamp(max=MOST)
        return means_B2 - torch.log(-torch.expm1(means_B2))

    def losses(self, pairs: Pairs) -> Tensor:
        """B losses, in nats per token."""
        p_B = pairs.p_chosen_B
        chosen_B, rejected_B = pairs.per_token(pairs.policy_B2).unbind(dim=1)
        likelihood_B = -(p_B * chosen_B + (1.0 - p_B) * rejected_B)
        return likelihood_B + self.beta * cross_entropy(margins(self.rewards(pairs)), p_B)
