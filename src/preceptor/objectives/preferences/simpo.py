"""SimPO (Meng et al. 2024): no reference; the reward is the mean log-probability of a token.

With r = β log π / number of tokens, a hard label has the loss -log σ(r(chosen) - r(rejected) - γ) (equation 6). Were
the label the other way round, the rejected response would have to win by γ. So the loss of a label p is
-(p log σ(m - γ) + (1 - p) log σ(-m - γ)) with m = r(chosen) - r(rejected). It is minimal where x = exp(m) solves
(1 - p) x² - (2 p - 1) exp(γ) x - p = 0: at m = 0 if p is 1 / 2, and at log(p / (1 - p)) if γ is 0.
TRL's smoothed labels differ: they flip the sign of m - γ as a whole, so that the chosen response keeps its margin.
"""

from dataclasses import dataclass

from torch import Tensor
from torch.nn.functional import logsigmoid

from preceptor.objectives.preferences.pairs import Pairs, check_beta, margins


@dataclass(frozen=True)
class SimPo:
    """The loss with a target margin. Raises: ValueError when β or γ is out of range."""

    beta: float
    """β, by which mean log-probabilities become rewards; 2 to 10 in the paper."""
    target_margin: float
    """γ, in nats of reward, at least 0."""

    def __post_init__(self) -> None:
        check_beta(self.beta)
        if not self.target_margin >= 0.0:
            raise ValueError(f"expected target_margin >= 0, got {self.target_margin}")

    def rewards(self, pairs: Pairs) -> Tensor:
        """β log π / number of tokens, B × 2; without the target margin."""
        return self.beta * pairs.per_token(pairs.policy_B2)

    def losses(self, pairs: Pairs) -> Tensor:
        """B losses, in nats."""
        margins_B, p_B, target = margins(self.rewards(pairs)), pairs.p_chosen_B, self.target_margin
        return -(p_B * logsigmoid(margins_B - target) + (1.0 - p_B) * logsigmoid(-margins_B - target))
