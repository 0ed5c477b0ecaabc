"""The verdict on a difference, decided from its interval. Every badge of a report says what `verdict_on` gives."""

from typing import Literal

from preceptor.core.numbers import Interval

Verdict = Literal["better", "worse", "no difference shown", "not measured"]


def verdict_on(found: Interval | None, at: float = 0.0, *, beyond_chance: bool = True) -> Verdict:
    """On which side of the value without a difference an interval lies.

    Args:
        found: a difference, a rate, or a score, higher being better; None if nothing independent measured it.
        at: the value without a difference: 0 for a change, one half for a win rate.
        beyond_chance: whether the difference is still significant after a correction for several tests.
    """
    if found is None:
        return "not measured"
    if found.low is None or found.high is None or not beyond_chance:
        return "no difference shown"
    return "better" if found.low > at else "worse" if found.high < at else "no difference shown"
