"""Numbers as people read them."""

import pytest

from preceptor.core.numbers import (
    dollars,
    estimate,
    for_templates,
    interval,
    listed,
    number,
    p_equals,
    p_value,
    percent,
    points,
    points_interval,
    share,
)
from preceptor.evaluation.intervals import Estimate

UNKNOWN = Estimate(value=1.0, low=None, high=None, n=1)


def plain(text: str) -> str:
    return text.replace("\u00a0", " ")


def test_what_is_not_known_is_none() -> None:
    for function in (number, percent, points, share, estimate, p_value, dollars):
        assert function(None) == "none"


@pytest.mark.parametrize(
    ("shown", "expected"),
    [
        (number(0.524), "0.52"),
        (number(0.5, signed=True), "+0.50"),
        (number(1_234_567, 0), "1,234,567"),
        (number(1234.5, 1), "1234.5"),
        (number(-0.001), "0.00"),
        (number(-0.4, 0, signed=True), "0"),
        (percent(0.64), "64%"),
        (percent(0.0244, 1), "2.4%"),
        (points(-0.051, signed=True), "-5"),
        (dollars(1234.5), "$1,234.50"),
        (dollars(0.00012, 4), "$0.0001"),
        (listed(["one"]), "one"),
        (listed(["one", "another", "a third"]), "one, another and a third"),
    ],
)
def test_single_numbers(shown: str, expected: str) -> None:
    assert shown == expected


def test_intervals_stand_in_brackets_and_are_left_out_where_there_is_none() -> None:
    assert estimate(Estimate(value=0.521, low=0.4, high=0.631, n=9)) == "0.52 [0.40, 0.63]"
    assert estimate({"value": 0.5, "low": 0.25, "high": 0.75, "n": 3}, 1) == "0.5 [0.2, 0.8]"
    assert points_interval(0.58, 0.7) == "[58, 70]"
    assert interval(-0.1, 0.2, signed=True) == "[-0.10, +0.20]"
    assert (estimate(UNKNOWN), share(UNKNOWN), interval(None, None)) == ("1.00", "100%", "")


def test_an_end_that_would_read_50_and_is_not_has_a_decimal_more() -> None:
    """Or nobody could see on which side of one half it is."""
    assert share(Estimate(value=0.64, low=0.58, high=0.7, n=9)) == "64% [58, 70]"
    assert share(Estimate(value=0.56, low=0.504, high=0.62, n=9)) == "56.0% [50.4, 62.0]"
    assert share(Estimate(value=0.6, low=0.5, high=0.7, n=9)) == "60% [50, 70]"


def test_p_values() -> None:
    assert (plain(p_value(0.0001)), p_value(0.03)) == ("< 0.001", "0.030")
    assert (plain(p_equals(0.0001)), plain(p_equals(0.03))) == ("p < 0.001", "p = 0.030")


def test_templates_call_the_same_functions() -> None:
    assert for_templates()["share"] is share
