"""Pairs of responses as a loss sees them, and what the losses of pairs have in common."""

from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor
from torch.nn.functional import logsigmoid


@dataclass(frozen=True)
class Pairs:
    """B pairs. Column 0 of a B × 2 array is the chosen response, column 1 the rejected one.

    Raises: ValueError when shapes disagree, an array is not of floating-point numbers, or a label is no probability.
    """

    policy_B2: Tensor
    """Log-probability of each response under the policy, in nats, summed over its learned tokens; has the gradient."""
    p_chosen_B: Tensor
    """Probability that the chosen response is the better one; 1 is a hard label."""
    reference_B2: Tensor | None = None
    """As `policy_B2` under the reference, for losses that compare with it; no gradient flows into it."""
    lengths_B2: Tensor | None = None
    """Number of learned tokens, for losses of means over tokens."""
    differences_B: Tensor | None = None
    """By how much the chosen response is better, on a scale of its own, for losses with an offset."""

    def __post_init__(self) -> None:
        two = [array for array in (self.policy_B2, self.reference_B2, self.lengths_B2) if array is not None]
        one = [array for array in (self.p_chosen_B, self.differences_B) if array is not None]
        shapes = [tuple(array.shape) for array in (*two, *one)]
        if shapes != [(len(self.policy_B2), 2)] * len(two) + [(len(self.policy_B2),)] * len(one):
            raise ValueError(f"expected two numbers and one label for each pair, got shapes {shapes}")
        if not all(torch.is_floating_point(array) for array in (*two, *one)):
            raise ValueError("expected floating-point numbers")
        if not bool(((self.p_chosen_B >= 0.0) & (self.p_chosen_B <= 1.0)).all()):
            raise ValueError(f"labels must be probabilities, got {self.p_chosen_B.tolist()}")

    @property
    def log_ratios_B2(self) -> Tensor:
        """Log π - log π_ref of each response, in nats."""
        if self.reference_B2 is None:
            raise ValueError("these pairs have no log-probabilities of the reference")
        return self.policy_B2 - self.reference_B2.detach()

    def per_token(self, sums_B2: Tensor) -> Tensor:
        """The mean over its learned tokens of what is summed for each response."""
        if self.lengths_B2 is None:
            raise ValueError("these pairs have no lengths")
        return sums_B2 / self.lengths_B2


class PairLoss(Protocol):
    """A loss of pairs, which compares the rewards that the policy implies for both responses."""

    def rewards(self, pairs: Pairs) -> Tensor:
        """The implicit reward of each response, B × 2; comparable between responses to the same prompt only."""
        ...

    def losses(self, pairs: Pairs) -> Tensor:
        """B losses; the caller averages. The loss of a label p is p times that of the label 1, plus 1 - p times that of
        the label 0, unless it says otherwise; swapping the responses and taking 1 - p changes nothing.
        """
        ...


def margins(rewards_B2: Tensor) -> Tensor:
    """The reward of the chosen response minus that of the rejected one, for each of B pairs."""
    return rewards_B2[:, 0] - rewards_B2[:, 1]


def cross_entropy(margins_B: Tensor, p_B: Tensor) -> Tensor:
    """-(p log σ(h) + (1 - p) log σ(-h)) of margins h; stable for margins of any size. Minimal where σ(h) = p."""
    return -(p_B * logsigmoid(margins_B) + (1.0 - p_B) * logsigmoid(-margins_B))


def check_beta(beta: float) -> None:
    """Raises: ValueError unless β is above 0."""
    if not beta > 0.0:
        raise ValueError(f"expected beta > 0, got {beta}")
