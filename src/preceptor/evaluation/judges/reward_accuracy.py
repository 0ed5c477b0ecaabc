"""How well a reward model orders the two responses of labelled pairs, and how much it depends on their length."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from scipy import stats

from preceptor.core.errors import PreceptorError
from preceptor.core.numbers import estimate, number
from preceptor.core.types import Frozen
from preceptor.evaluation.intervals import Estimate
from preceptor.evaluation.judges.agreement import (
    ReliabilityBin,
    Side,
    calibration_error,
    correctness,
    reliability,
    share_by_prompt,
)

Source = Literal["ai", "human"]


@dataclass(frozen=True)
class ScoredPair:
    """A labelled pair with its reward margin."""

    prompt_id: str
    margin: float | None
    """Reward of the chosen response minus that of the rejected one; None if one has no reward."""
    p_chosen: float
    """The label: probability that the chosen response is the better one."""
    source: Source
    """Who gave the label."""
    length_chosen: int
    """In characters or words, the same for all."""
    length_rejected: int


class RewardAccuracy(Frozen):
    """How a reward model agrees with labels that it was not trained on. What cannot be computed is None."""

    n: int
    """Number of pairs with rewards."""
    without_reward: int
    """Pairs in which a response has no finite reward; they count in no measure."""
    ties: int
    """Pairs with rewards whose label is exactly 0.5; they count only in `log_loss`."""
    accuracy: Estimate | None
    """Share of pairs that the rewards order as the label does; equal rewards count half."""
    by_source: dict[Source, Estimate]
    """The same for each source of labels."""
    log_loss: float | None
    """Mean cross-entropy between the labels and σ(margin), in nats; ln 2 for equal rewards."""
    reliability: tuple[ReliabilityBin, ...]
    """Confidence max(σ(margin), 1 - σ(margin)) against accuracy."""
    calibration_error: float | None
    """Expected calibration error of the confidence."""
    longer_baseline: Estimate | None
    """Accuracy of always preferring the longer response; equal lengths count half."""
    length_correlation: float | None
    """Spearman's correlation between margin and difference in length. Every pair is taken in both orders, because the
    reward model does not decide which response is called chosen."""

    def summary(self) -> str:
        """The headline numbers on one line."""
        parts = [f"accuracy {_share(self.accuracy)}"]
        parts += [f"{source} labels {_share(share)}" for source, share in self.by_source.items()]
        parts += [
            f"always the longer {_share(self.longer_baseline)}",
            f"log-loss {_number(self.log_loss)}",
            f"calibration error {_number(self.calibration_error)}",
            f"length correlation {_number(self.length_correlation)}",
        ]
        parts += [f"{self.without_reward} pairs without a reward"] if self.without_reward else []
        return "; ".join(parts)


def reward_accuracy(pairs: Sequence[ScoredPair]) -> RewardAccuracy:
    """Measures a reward model on pairs. Intervals are 95%, over prompts.

    Raises: PreceptorError when no pair has a reward; ValueError when a label is not a probability.
    """
    if any(not 0.0 <= pair.p_chosen <= 1.0 for pair in pairs):
        raise ValueError(f"labels must be probabilities, got {[pair.p_chosen for pair in pairs]}")
    known = [(pair, m) for pair in pairs if (m := pair.margin) is not None and math.isfinite(m)]
    if not known:
        raise PreceptorError(
            f"the reward model gives no reward to any of the {len(pairs)} pairs on which it is measured"
        )
    decided: list[tuple[ScoredPair, float, Side]] = [
        (pair, margin, "a" if pair.p_chosen > 0.5 else "b") for pair, margin in known if pair.p_chosen != 0.5
    ]  # the response called chosen is a
    hits = [(pair, correctness(_win_probability(m), side)) for pair, m, side in decided]
    bins = reliability([(_win_probability(margin), side) for _, margin, side in decided])
    return RewardAccuracy(
        n=len(known),
        without_reward=len(pairs) - len(known),
        ties=len(known) - len(decided),
        accuracy=share_by_prompt([(pair.prompt_id, hit) for pair, hit in hits]),
        by_source={
            source: share
            for source in ("ai", "human")
            if (share := share_by_prompt([(p.prompt_id, hit) for p, hit in hits if p.source == source]))
        },
        log_loss=math.fsum(_cross_entropy(margin, pair.p_chosen) for pair, margin in known) / len(known),
        reliability=bins,
        calibration_error=calibration_error(bins),
        longer_baseline=share_by_prompt(
            [(p.prompt_id, correctness(_longer(p.length_chosen, p.length_rejected), side)) for p, _, side in decided]
        ),
        length_correlation=_length_correlation(known),
    )


def _win_probability(margin: float) -> float:
    """σ(margin). Only a margin of exactly 0 gives 0.5, since smaller differences are lost in rounding."""
    p = 1.0 / (1.0 + math.exp(-margin)) if margin > -700.0 else 0.0
    if p == 0.5 and margin != 0.0:
        return math.nextafter(0.5, math.copysign(1.0, margin))
    return p


def _cross_entropy(margin: float, p_chosen: float) -> float:
    """-p log σ(m) - (1 - p) log σ(-m)."""
    softplus = max(0.0, -margin) + math.log1p(math.exp(-abs(margin)))  # -log σ(margin)
    return softplus + (1.0 - p_chosen) * margin


def _longer(one: int, other: int) -> float:
    """The choice of a judge that always prefers the longer response."""
    return 1.0 if one > other else 0.0 if one < other else 0.5


def _length_correlation(known: Sequence[tuple[ScoredPair, float]]) -> float | None:
    margins = [margin for _, margin in known]
    longer = [float(pair.length_chosen - pair.length_rejected) for pair, _ in known]
    both = ([*margins, *(-m for m in margins)], [*longer, *(-d for d in longer)])
    if len(known) < 3 or any(len(set(values)) < 2 for values in both):
        return None
    correlation: Any = stats.spearmanr(*both)
    return float(correlation.statistic)


def _share(share: Estimate | None) -> str:
    return "unknown" if share is None else f"{estimate(share, 3)} (n {share.n})"


def _number(value: float | None) -> str:
    return "unknown" if value is None else number(value, 3)
