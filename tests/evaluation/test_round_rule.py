"""When rounds end, and which is kept, by numbers that can be checked by hand."""

import math
from collections.abc import Sequence

import pytest

from preceptor.evaluation.checkpoints.rounds import RoundGain, best_round, why_no_further
from preceptor.evaluation.intervals import Estimate


def gains(*bounds: float | None) -> list[RoundGain]:
    """Rounds whose gains have these lower bounds and are 0.1 above them; None for a gain without an interval."""
    return [
        RoundGain(
            number=number,
            gain=Estimate(value=0.1 + (low or 0.0), low=low, high=None if low is None else low + 0.2, n=12),
        )
        for number, low in enumerate(bounds, start=1)
    ]


def test_rounds_go_on_while_the_lower_bound_rises() -> None:
    assert why_no_further(gains(0.05)) is None
    assert why_no_further(gains(0.05, 0.11)) is None
    assert why_no_further(gains(-0.30)) is None  # the first round has nothing to rise above
    assert why_no_further(gains(None, 0.01)) is None


@pytest.mark.parametrize("bounds", [(0.05, 0.05), (0.05, 0.11, 0.08)])
def test_rounds_end_when_it_does_not(bounds: Sequence[float]) -> None:
    why = why_no_further(gains(*bounds)) or ""
    assert f"{bounds[-1]:+.2f} after round {len(bounds)}, {max(bounds[:-1]):+.2f} after round {len(bounds) - 1}" in why


def test_a_higher_mean_is_not_a_higher_lower_bound() -> None:
    first, second = gains(0.05, 0.04)
    surer = second.model_copy(update={"gain": Estimate(value=0.5, low=0.04, high=0.96, n=12)})
    assert "no longer rose" in (why_no_further([first, surer]) or "")
    assert best_round([first, surer]) == 1


def test_without_an_interval_nothing_rises() -> None:
    assert "no lower bound" in (why_no_further(gains(0.05, None)) or "")
    assert why_no_further(gains(None)) is None


def test_a_broken_bound_and_a_round_that_learned_nothing_end_the_rounds() -> None:
    first, second = gains(0.05, 0.50)
    broken = second.model_copy(update={"broken": "KL 31.0 is above 20"})
    assert "KL 31.0" in (why_no_further([first, broken]) or "")
    assert broken.lower_bound == -math.inf
    assert best_round([first, broken]) == 1
    assert "round 1 kept" in (why_no_further([first.model_copy(update={"unchanged": True})]) or "")


def test_the_best_round_has_the_highest_lower_bound_and_is_the_earliest_of_equals() -> None:
    assert best_round(gains(0.05, 0.11, 0.08)) == 2
    assert best_round(gains(0.05, 0.05)) == 1
    assert best_round(gains(None, None)) == 1


def test_the_first_policy_is_kept_if_no_round_gained() -> None:
    small, lost = gains(-0.05, -0.30)  # they gained 0.05, perhaps by chance, and lost 0.20
    assert best_round([small, lost]) == 1
    assert best_round([lost]) == 0
    assert best_round([small.model_copy(update={"broken": "KL 31.0 is above 20"}), lost]) == 0
    assert best_round([small.model_copy(update={"gain": None})]) == 0
    unchanged = Estimate(value=0.0, low=0.0, high=0.0, n=12)
    assert best_round([small.model_copy(update={"gain": unchanged, "unchanged": True})]) == 0


def test_a_round_that_lost_is_not_kept_for_its_narrow_interval() -> None:
    surely_lost = RoundGain(number=1, gain=Estimate(value=-0.01, low=-0.02, high=0.0, n=12))
    perhaps_gained = RoundGain(number=2, gain=Estimate(value=0.05, low=-0.10, high=0.20, n=12))
    assert best_round([surely_lost, perhaps_gained]) == 2
