"""DPO on labels of which a share ε is known to be wrong. Both are `Dpo` where ε is 0; l(p) is the loss of `Dpo`."""

from dataclasses import dataclass

from torch import Tensor

from preceptor.objectives.preferences.dpo import Dpo
from preceptor.objectives.preferences.pairs import Pairs, check_beta, cross_entropy, margins


@dataclass(frozen=True)
class ConservativeDpo:
    """l((1 - ε) p + ε (1 - p)): each label is mixed with its opposite (Mitchell 2023).

    Raises: ValueError when β or ε is out of range.
    """

    beta: float
    label_smoothing: float = 0.0
    """ε, below 0.5."""

    def __post_init__(self) -> None:
        _check(self.beta, self.label_smoothing)

    def rewards(self, pairs: Pairs) -> Tensor:
        """As of `Dpo`."""
        return Dpo(self.beta).rewards(pairs)

    def losses(self, pairs: Pairs) -> Tensor:
        """B losses, in nats."""
        p_B, wrong = pairs.p_chosen_B, self.label_smoothing
        return cross_entropy(margins(self.rewards(pairs)), (1.0 - wrong) * p_B + wrong * (1.0 - p_B))


@dataclass(frozen=True)
class RobustDpo:
    """((1 - ε) l(p) - ε l(1 - p)) / (1 - 2 ε), whose mean over labels that are flipped with probability ε is the loss
    of the labels before flipping (Chowdhury et al. 2024, equation 12).

    Raises: ValueError when β or ε is out of range.
    """

    beta: float
    label_smoothing: float = 0.0
    """ε, below 0.5."""

    def __post_init__(self) -> None:
        _check(self.beta, self.label_smoothing)

    def rewards(self, pairs: Pairs) -> Tensor:
        """As of `Dpo`."""
        return Dpo(self.beta).rewards(pairs)

    def losses(self, pairs: Pairs) -> Tensor:
        """B losses; one may be negative."""
        margins_B, p_B, wrong = margins(self.rewards(pairs)), pairs.p_chosen_B, self.label_smoothing
        as_labelled_B, as_flipped_B = cross_entropy(margins_B, p_B), cross_entropy(margins_B, 1.0 - p_B)
        return ((1.0 - wrong) * as_labelled_B - wrong * as_flipped_B) / (1.0 - 2.0 * wrong)


def _check(beta: float, label_smoothing: float) -> None:
    check_beta(beta)
    if not 0.0 <= label_smoothing < 0.5:
        raise ValueError(f"expected 0 <= label_smoothing < 0.5, got {label_smoothing}")
