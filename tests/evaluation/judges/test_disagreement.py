"""Two judges of the same comparisons, by hand."""

import pytest

from preceptor.evaluation.judges.agreement import share_by_prompt
from preceptor.evaluation.judges.disagreement import TwiceJudged, disagreement

ROWS = [
    TwiceJudged("1", "chat", 0.9, 0.6),  # both a
    TwiceJudged("1", "chat", 0.9, 0.1),  # a and b
    TwiceJudged("2", "chat", 0.2, 0.4),  # both b
    TwiceJudged("3", "code", 0.7, 0.3),  # a and b
    TwiceJudged("4", "code", 0.5, 0.9),  # the training judge is undecided
    TwiceJudged("5", "maths", 0.9, 0.5),  # the other one is
]


def test_by_hand() -> None:
    found = disagreement(ROWS)
    assert (found.n, found.undecided) == (4, 2)
    assert found.overall is not None
    assert found.overall == share_by_prompt([("1", 0.0), ("1", 1.0), ("2", 0.0), ("3", 1.0)])
    assert (found.overall.value, found.overall.n) == (0.5, 4)
    assert {name: (share.value, share.n) for name, share in found.by_cohort.items()} == {
        "chat": (pytest.approx(1 / 3), 3),
        "code": (1.0, 1),
    }
    # Training a a b a, the other a b b b: they agree in 2 of 4, by chance in 3/4 · 1/4 + 1/4 · 3/4 = 3/8.
    assert found.kappa == pytest.approx((1 / 2 - 3 / 8) / (1 - 3 / 8))


def test_what_cannot_be_computed_is_none() -> None:
    nothing = disagreement(ROWS[4:])
    assert (nothing.n, nothing.undecided) == (0, 2)
    assert nothing.overall is nothing.kappa is None
    assert nothing.by_cohort == {}
    same = disagreement([TwiceJudged(f"{i}", "c", 0.9, 0.8) for i in range(4)])
    assert same.kappa is None  # both only ever say a: they would agree by chance too
    assert same.overall is not None
    assert same.overall.value == 0.0
    assert (same.overall.high or 0.0) > 0.2  # four prompts do not show that judges never disagree
