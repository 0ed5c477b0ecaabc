"""DPO with an offset (Amini et al. 2024, "ODPO"): the better response must win by as much as it is better.

With h as in `dpo.py` and an offset o = α (difference between the responses), a hard label has the loss
-log σ(h - o) where the chosen response is the better one and, since the offset changes its sign with the order,
-log σ(-(h - o)) where the other is. The loss of a label p is the mean of both, the cross-entropy of p and σ(h - o),
which is minimal at h = log(p / (1 - p)) + o.
"""

from dataclasses import dataclass

from torch import Tensor

from preceptor.objectives.preferences.pairs import Pairs, check_beta, cross_entropy, margins


@dataclass(frozen=True)
class Odpo:
    """The cross-entropy with the margin less its offset. Raises: ValueError when β or α is out of range."""

    beta: float
    offset_scale: float = 1.0
    """α, at least 0; the offset of a difference of 1, in nats."""

    def __post_init__(self) -> None:
        check_beta(self.beta)
        if not self.offset_scale >= 0.0:
            raise ValueError(f"expected offset_scale >= 0, got {self.offset_scale}")

    def rewards(self, pairs: Pairs) -> Tensor:
        """β (log π - log π_ref), B × 2, as of `Dpo`; without the offset."""
        return self.beta * pairs.log_ratios_B2

    def losses(self, pairs: Pairs) -> Tensor:
        """B losses, in nats. Raises: ValueError when the pairs have no differences."""
        if pairs.differences_B is None:
            raise ValueError("these pairs have no differences")
        offsets_B = self.offset_scale * pairs.differences_B
        return cross_entropy(margins(self.rewards(pairs)) - offsets_B, pairs.p_chosen_B)
