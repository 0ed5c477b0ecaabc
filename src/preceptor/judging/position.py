"""Position bias, measured on showings: which order, and the probability that response a is better."""

import math
from collections.abc import Iterable, Sequence

Shown = tuple[str, float]
"""Order (`ab` or `ba`) and p_a of one showing."""


def first_wins(shown: Iterable[Shown]) -> list[float]:
    """For each showing 1 where the response shown first wins, 0 where it does not, one half where neither does."""
    firsts = [p_a if order == "ab" else 1.0 - p_a for order, p_a in shown]
    return [1.0 if p > 0.5 else 0.0 if p < 0.5 else 0.5 for p in firsts]


def same_position_wins(shown: Iterable[Shown]) -> bool | None:
    """Whether the same position wins after the swap (Lee et al. 2023); None where only one order was shown.

    Several showings of one order (samples, principles) count by their mean.
    """
    by_order = p_by_order(shown)
    if len(by_order) < 2:
        return None
    return (mean(by_order["ab"]) - 0.5) * (mean(by_order["ba"]) - 0.5) < 0


def p_by_order(shown: Iterable[Shown]) -> dict[str, list[float]]:
    """p_a of the showings, by order; an order that was not shown is not a key."""
    found: dict[str, list[float]] = {}
    for order, p_a in shown:
        found.setdefault(order, []).append(p_a)
    return found


def mean(values: Sequence[float]) -> float:
    """The arithmetic mean, without the loss of a running sum."""
    return math.fsum(values) / len(values)
