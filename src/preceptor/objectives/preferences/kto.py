"""KTO (Ethayarajh et al. 2024): each response by itself, as desirable or undesirable; no pairs are needed.

With r = log π - log π_ref of a whole response and a baseline z, which is at least 0 and has no gradient, a desirable
response has the loss λ_D (1 - σ(β (r - z))), an undesirable one λ_U (1 - σ(β (z - r))) (equations 7 and 8). A response
that is desirable with probability d has the mean of both. That is linear in σ: a response rises if d λ_D > (1 - d) λ_U,
falls if it is less, and no finite r is a minimum. So a soft label decides which way a response goes and how fast, and
the policy does not learn its probability: of contradicting labels the majority wins.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from preceptor.objectives.preferences.pairs import check_beta


@dataclass(frozen=True)
class Kto:
    """The loss of single responses. Raises: ValueError when a number is not above 0."""

    beta: float
    desirable_weight: float = 1.0
    """λ_D."""
    undesirable_weight: float = 1.0
    """λ_U."""

    def __post_init__(self) -> None:
        check_beta(self.beta)
        if not (self.desirable_weight > 0.0 and self.undesirable_weight > 0.0):
            raise ValueError(f"expected weights > 0, got {self.desirable_weight} and {self.undesirable_weight}")

    def losses(self, log_ratios_B: Tensor, desirable_B: Tensor, baseline: float) -> Tensor:
        """The loss of each of B responses; the caller averages.

        Args:
            log_ratios_B: r of each response, in nats; carry the gradient.
            desirable_B: d, the probability that it is desirable; 0 and 1 are hard labels.
            baseline: z, see `baseline_of`.

        Raises: ValueError when shapes disagree or a label is no probability.
        """
        if log_ratios_B.ndim != 1 or log_ratios_B.shape != desirable_B.shape:
            raise ValueError(f"expected one label per response, got {log_ratios_B.shape} and {desirable_B.shape}")
        if not bool(((desirable_B >= 0.0) & (desirable_B <= 1.0)).all()):
            raise ValueError(f"labels must be probabilities, got {desirable_B.tolist()}")
        raised_B = torch.sigmoid(self.beta * (log_ratios_B - baseline))
        undesirable_B = self.undesirable_weight * (1.0 - desirable_B) * raised_B
        return self.desirable_weight * desirable_B * (1.0 - raised_B) + undesirable_B


def baseline_of(log_ratios: list[float]) -> float:
    """z: the mean of log π - log π_ref over responses to other prompts than those that they are read after, at least 0.
    The paper's estimate of the divergence from the reference (section 4.1), over one batch.
    """
    return max(0.0, sum(log_ratios) / len(log_ratios))
