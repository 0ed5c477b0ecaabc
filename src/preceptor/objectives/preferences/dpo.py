"""Direct preference optimisation (Rafailov et al. 2023), for labels that may be soft.

With h = β ((log π - log π_ref)(chosen) - (log π - log π_ref)(rejected)), the loss is the cross-entropy between label
and policy, l(p) = -(p log σ(h) + (1 - p) log σ(-h)); equation 7 has p = 1. It is minimal where σ(h) = p. If p is the
Bradley-Terry probability of rewards r, that policy is π_ref exp(r / β) up to a factor, so a soft label never pulls a
pair apart without bound.
"""

from dataclasses import dataclass

from torch import Tensor

from preceptor.objectives.preferences.pairs import Pairs, check_beta, cross_entropy, margins


@dataclass(frozen=True)
class Dpo:
    """The loss l(p). Raises: ValueError when β is not above 0."""

    beta: float
    """β, the cost of moving away from the reference."""

    def __post_init__(self) -> None:
        check_beta(self.beta)

    def rewards(self, pairs: Pairs) -> Tensor:
        """β (log π - log π_ref) (section 5.1), B × 2."""
        return self.beta * pairs.log_ratios_B2

    def losses(self, pairs: Pairs) -> Tensor:
        """B losses, in nats."""
        return cross_entropy(margins(self.rewards(pairs)), pairs.p_chosen_B)


@dataclass(frozen=True)
class LengthNormalisedDpo:
    """l(p) with means over tokens in the place of sums (Lambert et al. 2024, "Tülu 3"), so that a long
    response does not weigh more for its length. σ(h) = p at the minimum, with h of means.

    Raises: ValueError when β is not above 0.
    """

    beta: float

    def __post_init__(self) -> None:
        check_beta(self.beta)

    def rewards(self, pairs: Pairs) -> Tensor:
        """β (log π - log π_ref) / number of tokens, B × 2."""
        return self.beta * pairs.per_token(pairs.log_ratios_B2)

    def losses(self, pairs: Pairs) -> Tensor:
        """B losses, in nats."""
        return cross_entropy(margins(self.rewards(pairs)), pairs.p_chosen_B)
