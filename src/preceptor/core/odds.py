"""Log-odds of probabilities, clipped the same way everywhere."""

import math

CLIP = 1e-6
"""Probabilities are clipped to [CLIP, 1 - CLIP] before their log-odds are taken, so log-odds are within ±13.8."""


def log_odds(probability: float, complement: float | None = None) -> float:
    """Log(p / (1 - p)) in nats, of a clipped probability.

    Args:
        complement: 1 - p, if it is known separately: for p near 1, subtracting loses digits.
    """
    clipped = _clipped(probability)
    if complement is None:
        return math.log(clipped) - math.log1p(-clipped)
    return math.log(clipped) - math.log(_clipped(complement))


def sigmoid(value: float) -> float:
    """The probability that has these log-odds."""
    if value >= 0:
        return 1.0 / (1.0 + math.exp(-value))
    return math.exp(value) / (1.0 + math.exp(value))


def _clipped(probability: float) -> float:
    return min(max(probability, CLIP), 1.0 - CLIP)
