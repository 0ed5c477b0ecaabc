"""Combines the probabilities of several presentations of a comparison into one."""

import math
from collections.abc import Sequence
from typing import Literal, TypeAlias

from preceptor.core.odds import log_odds, sigmoid

Combine: TypeAlias = Literal["mean", "log_odds"]
"""`mean`: the mean of the probabilities (Lee et al. 2023, arXiv 2309.00267, "Addressing Position Bias"). `log_odds`:
the sigmoid of the mean logit, in which a position bias that shifts log-odds equally in both orders cancels exactly.
"""


def combine(probabilities: Sequence[float], how: Combine) -> float:
    """Combines the probabilities of response a in all presentations into one.

    Rounded to 12 decimals, so two presentations that contradict each other give exactly 0.5.
    Raises: ValueError when there is no presentation.
    """
    if not probabilities:
        raise ValueError("there is no presentation to combine")
    count = len(probabilities)
    if how == "mean":
        return round(math.fsum(probabilities) / count, 12)
    return round(sigmoid(math.fsum(log_odds(p) for p in probabilities) / count), 12)
