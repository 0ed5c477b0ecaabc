"""The verdict that a badge says, from intervals by hand."""

import pytest

from preceptor.evaluation.intervals import Estimate
from preceptor.evaluation.verdict import verdict_on


@pytest.mark.parametrize(
    ("low", "high", "verdict"),
    [
        (0.51, 0.7, "better"),
        (0.5, 0.7, "no difference shown"),
        (0.3, 0.49, "worse"),
        (0.3, 0.7, "no difference shown"),
        (None, None, "no difference shown"),
    ],
)
def test_the_interval_decides(low: float | None, high: float | None, verdict: str) -> None:
    rate = Estimate(value=0.4, low=low, high=high, n=12)
    assert verdict_on(rate, 0.5) == verdict


def test_nothing_measured_and_what_a_correction_leaves() -> None:
    assert verdict_on(None) == "not measured"
    gain = Estimate(value=0.2, low=0.1, high=0.3, n=12)
    assert (verdict_on(gain), verdict_on(gain, beyond_chance=False)) == ("better", "no difference shown")
