"""Identity preference optimisation (Azar et al. 2023): the margin is drawn to a fixed number, and not without bound.

With d = (log π - log π_ref)(chosen) - (log π - log π_ref)(rejected), a hard label has the loss (d - 1 / (2 β))²
(equation 17, whose τ is β). The loss of a label p is its mean over hard labels,
p (d - 1 / (2 β))² + (1 - p) (d + 1 / (2 β))², which is minimal at d = (2 p - 1) / (2 β). Over all pairs of responses
of one policy, the minimum is π_ref exp(P / β) up to a factor, where P is the mean probability that a response beats
another one.

Here d is of means over tokens, as in TRL and, by what its authors told TRL, in the paper's experiments; with sums, a
long response would reach its margin by its length alone.
"""

from dataclasses import dataclass

from torch import Tensor

from preceptor.objectives.preferences.pairs import Pairs, check_beta, margins


@dataclass(frozen=True)
class Ipo:
    """The squared distance to the margin. Raises: ValueError when β is not above 0."""

    beta: float
    """β, which the paper calls τ; the margin is 1 / (2 β) nats per token."""

    def __post_init__(self) -> None:
        check_beta(self.beta)

    def rewards(self, pairs: Pairs) -> Tensor:
        """β (log π - log π_ref) / number of tokens, B × 2; a hard label draws their margin to 1 / 2."""
        return self.beta * pairs.per_token(pairs.log_ratios_B2)

    def losses(self, pairs: Pairs) -> Tensor:
        """B losses."""
        margins_B, p_B, target = margins(self.rewards(pairs)) / self.beta, pairs.p_chosen_B, 1.0 / (2.0 * self.beta)
        return p_B * (margins_B - target) ** 2 + (1.0 - p_B) * (margins_B + target) ** 2
