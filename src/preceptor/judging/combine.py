"""How the probabilities that several presentations give to one response become one."""

import math
from collections.abc import Sequence
from typing import Literal, TypeAlias

Combine: TypeAlias = Literal["mean", "log_odds"]
"""`mean`: the mean of the probabilities (Lee et al. 2023, arXiv 2309.00267, "Addressing Position Bias"). `log_odds`:
the sigmoid of the mean logit, in which a position bias that shifts log-odds equally in both orders cancels exactly.
"""

CLIP = 1e-6
"""Probabilities are clipped to [CLIP, 1 - CLIP] before their log-odds are taken, so that these are within ±13.8."""


def log_odds(probability: float) -> float:
    """Log(p / (1 - p)) in nats, of a clipped probability."""
    clipped = min(max(probability, CLIP), 1.0 - CLIP)
    return math.log(clipped) - math.log1p(-clipped)


def sigmoid(value: float) -> float:
    """The probability that has these log-odds."""
    if value >= 0:
        return 1.0 / (1.0 + math.exp(-value))
    return math.exp(value) / (1.0 + math.exp(value))


def combine(probabilities: Sequence[float], how: Combine) -> float:
    """One probability of response a from those of all presentations.

    Rounded to 12 decimals, so that two presentations which contradict each other give 0.5 exactly.
    Raises: ValueError when there is none.
    """
    if not probabilities:
        raise ValueError("there is no presentation to combine")
    count = len(probabilities)
    if how == "mean":
        return round(math.fsum(probabilities) / count, 12)
    return round(sigmoid(math.fsum(log_odds(p) for p in probabilities) / count), 12)
