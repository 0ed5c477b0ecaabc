"""How the probabilities that several presentations give to one response become one."""

import math
from collections.abc import Sequence
from typing import Literal, TypeAlias

from preceptor.core.odds import log_odds, sigmoid

Combine: TypeAlias = Literal["mean", "log_odds"]
"""`mean`: the mean of the probabilities (Lee et al. 2023, arXiv 2309.00267, "Addressing Position Bias"). `log_odds`:
the sigmoid of the mean logit, in which a position bias that shifts log-odds equally in both orders cancels exactly.
"""


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
