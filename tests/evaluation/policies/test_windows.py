"""Failures over time, on weeks small enough to count."""

from datetime import date
from math import erfc, sqrt

import pytest

from preceptor.evaluation.policies.windows import (
    FailTrend,
    Length,
    TimedOutcome,
    fail_trends,
    fitting_length,
    window_start,
)


def outcomes(day: str, failed: int, of: int, cohort: str = "shop", samples: int = 1) -> list[TimedOutcome]:
    """Prompts of one day, each with a number of samples that all failed or all did not."""
    return [
        TimedOutcome(cohort, f"{day}T12:00:00Z", number < failed, f"{cohort} {day} {number}")
        for number in range(of)
        for _ in range(samples)
    ]


def one(rows: list[TimedOutcome], length: Length = "week") -> FailTrend:
    [trend] = fail_trends(rows, length)
    return trend


@pytest.mark.parametrize(
    ("time", "length", "start"),
    [
        ("2026-03-04T23:59:59Z", "day", date(2026, 3, 4)),
        ("2026-03-04T23:59:59-01:00", "day", date(2026, 3, 5)),
        ("2026-03-04T23:59:59", "day", date(2026, 3, 4)),
        ("2026-03-01T00:00:00Z", "week", date(2026, 2, 23)),  # a Sunday
        ("2026-03-02T00:00:00Z", "week", date(2026, 3, 2)),
        ("2026-03-31T12:00:00Z", "month", date(2026, 3, 1)),
    ],
)
def test_windows_begin_in_utc_and_weeks_on_monday(time: str, length: Length, start: date) -> None:
    assert window_start(time, length) == start


@pytest.mark.parametrize(
    ("last", "length"),
    [("2026-03-15", "day"), ("2026-03-16", "week"), ("2026-06-01", "week"), ("2026-06-02", "month")],
)
def test_windows_are_as_long_as_leaves_a_readable_number(last: str, length: Length) -> None:
    assert fitting_length([f"{last}T00:00:00Z", "2026-03-01T12:00:00Z"]) == length


def test_a_rise_by_hand() -> None:
    trend = one(outcomes("2026-03-12", 30, 50) + outcomes("2026-02-25", 12, 60) + outcomes("2026-03-03", 8, 40))
    assert trend.cohort is None
    assert [(window.start, window.failing.value, window.prompts) for window in trend.windows] == [
        (date(2026, 2, 23), 0.2, 60),
        (date(2026, 3, 2), 0.2, 40),
        (date(2026, 3, 9), 0.6, 50),
    ]
    for share in (window.failing for window in trend.windows):
        assert share.low is not None
        assert share.high is not None
        assert share.low < share.value < share.high
    assert trend.change == pytest.approx(0.4)
    # 30 of 50 against 20 of 100, a third in all: z = 0.4 / √(1/3 · 2/3 · (1/50 + 1/100)), one-sided.
    z = 0.4 / sqrt(1 / 3 * 2 / 3 * (1 / 50 + 1 / 100))
    assert trend.p_value == pytest.approx(erfc(z / sqrt(2)) / 2)
    assert (trend.p_holm, trend.worse) == (trend.p_value, True)


def test_a_fall_is_no_rise() -> None:
    trend = one(outcomes("2026-03-03", 30, 50) + outcomes("2026-03-12", 10, 50))
    assert trend.change == pytest.approx(-0.4)
    assert trend.p_value is not None
    assert trend.p_value > 0.99
    assert trend.worse is False


def test_samples_of_one_prompt_are_one_trial() -> None:
    rows = [outcomes("2026-03-03", 10, 50, samples=n) + outcomes("2026-03-12", 17, 50, samples=n) for n in (1, 10)]
    single, tenfold = (one(each) for each in rows)
    assert single.p_value == tenfold.p_value
    assert single.worse is tenfold.worse is False
    assert [window.prompts for window in tenfold.windows] == [50, 50]
    assert [window.failing.n for window in tenfold.windows] == [500, 500]


def test_too_little_data_is_none_and_never_false() -> None:
    assert fail_trends([], fitting_length([])) == ()
    alone = one(outcomes("2026-03-03", 3, 50))
    assert (alone.change, alone.p_value, alone.p_holm, alone.worse) == (None, None, None, None)
    few = one(outcomes("2026-03-03", 0, 4) + outcomes("2026-03-12", 4, 4))
    assert (few.change, few.p_value, few.worse) == (1.0, None, None)
    none_failed = one(outcomes("2026-03-03", 0, 400) + outcomes("2026-03-12", 0, 400))
    assert (none_failed.change, none_failed.p_value, none_failed.worse) == (0.0, None, None)


def test_several_cohorts_have_trends_of_their_own_and_share_a_correction() -> None:
    rows = outcomes("2026-03-03", 10, 50) + outcomes("2026-03-12", 19, 50)
    rows += outcomes("2026-03-03", 10, 50, "desk") + outcomes("2026-03-12", 10, 50, "desk")
    alone = one(rows[:100])
    together, shop, desk = fail_trends(rows, "week")
    assert (together.cohort, shop.cohort, desk.cohort) == (None, "shop", "desk")
    assert together.change == pytest.approx(0.09)
    assert shop.p_value == alone.p_value
    assert alone.worse is True
    # The smallest of three p-values counts threefold.
    assert shop.p_holm == pytest.approx(3 * (shop.p_value or 0))
    assert together.p_holm == pytest.approx(max(3 * (shop.p_value or 0), 2 * (together.p_value or 0)))
    assert (shop.worse, desk.change, desk.p_value, desk.p_holm) == (False, 0.0, 0.5, 0.5)


def test_a_time_that_is_none() -> None:
    with pytest.raises(ValueError, match="yesterday"):
        fail_trends([TimedOutcome("shop", "yesterday", True, "p")], "day")
