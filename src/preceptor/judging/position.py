"""Position bias, measured on the order and the probability of response a in each presentation."""

import math
from collections.abc import Iterable, Sequence
from typing import TypeAlias

Presented: TypeAlias = tuple[str, float]
"""Order (`ab` or `ba`) and p_a of one presentation."""


def first_wins(presented: Iterable[Presented]) -> list[float]:
    """For each presentation: 1 if the response shown first wins, 0 if it does not, one half if neither does."""
    firsts = [p_a if order == "ab" else 1.0 - p_a for order, p_a in presented]
    return [1.0 if p > 0.5 else 0.0 if p < 0.5 else 0.5 for p in firsts]


def same_position_wins(presented: Iterable[Presented]) -> bool | None:
    """Whether the same position wins after the swap (Lee et al. 2023); None if only one order was shown.

    Several presentations of one order (samples, principles) count by their mean.
    """
    by_order = p_by_order(presented)
    if len(by_order) < 2:
        return None
    return (mean(by_order["ab"]) - 0.5) * (mean(by_order["ba"]) - 0.5) < 0


def p_by_order(presented: Iterable[Presented]) -> dict[str, list[float]]:
    """p_a of the presentations, by order; an order that was not shown is not a key."""
    by_order: dict[str, list[float]] = {}
    for order, p_a in presented:
        by_order.setdefault(order, []).append(p_a)
    return by_order


def mean(values: Sequence[float]) -> float:
    """The arithmetic mean, without the rounding error of a running sum."""
    return math.fsum(values) / len(values)
