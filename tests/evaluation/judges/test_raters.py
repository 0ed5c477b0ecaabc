"""How far people agree, by hand and against libraries."""

import krippendorff
import numpy as np
import pytest
from scipy import stats

from preceptor.core.types import HumanLabel
from preceptor.evaluation.judges.raters import (
    Rankings,
    kendall_w,
    ordinal_alpha,
    preference_agreement,
    ranking_agreement,
)


def test_kendalls_w_by_hand() -> None:
    # Sums of ranks 4, 6, 8, 12 about 7.5: S = 12.25 + 2.25 + 0.25 + 20.25 = 35; W = 12 · 35 / (9 · 60)
    assert kendall_w([[1, 2, 3, 4], [1, 3, 2, 4], [2, 1, 3, 4]]) == pytest.approx(420 / 540)
    assert kendall_w([[1, 2, 3]] * 5) == 1.0
    assert kendall_w([[1, 2, 3], [3, 2, 1]]) == 0.0
    # one tie of two: ranks 1.5 1.5 3 and 1 2 3, sums 2.5 3.5 6 about 4: S = 6.5; W = 12 · 6.5 / (4 · 24 - 2 · 6)
    assert kendall_w([[1, 1, 2], [1, 2, 3]]) == pytest.approx(78 / 84)
    assert kendall_w([[1, 1, 3], [1, 2, 3]]) == kendall_w([[1.5, 1.5, 3], [1, 2, 3]]) == pytest.approx(78 / 84)


def test_kendalls_w_is_none_where_there_is_none() -> None:
    for ranks in ([], [[1.0, 2.0]], [[1.0], [1.0]], [[1.0, 1.0], [2.0, 2.0]]):
        assert kendall_w(ranks) is None


def test_kendalls_w_is_friedmans_statistic_with_ties() -> None:
    rng = np.random.default_rng(1)
    ranks = rng.integers(1, 5, size=(7, 6)).astype(float)
    friedman = stats.friedmanchisquare(*ranks.T)
    (row,) = ranking_agreement([Rankings("r", ranks.tolist())]).concordance
    assert row.w == pytest.approx(friedman.statistic / (7 * 5))
    assert row.p_value == pytest.approx(friedman.pvalue)


def test_ordinal_alpha_is_the_librarys_whoever_the_raters_are() -> None:
    rng = np.random.default_rng(2)
    scores = rng.integers(1, 6, size=(4, 30)).astype(float)
    scores[1:] = np.clip(scores[0] + rng.integers(-1, 2, size=(3, 30)), 1, 5)
    scores[2, :10] = np.nan
    units = [[v for v in unit if not np.isnan(v)] for unit in scores.T.tolist()]
    assert ordinal_alpha(units) == pytest.approx(krippendorff.alpha(scores, level_of_measurement="ordinal"))
    assert ordinal_alpha([list(reversed(unit)) for unit in units]) == ordinal_alpha(units)
    assert ordinal_alpha([[1, 1], [1, 1]]) is None
    assert ordinal_alpha([[1], [2]]) is None
    assert ordinal_alpha([[1, 1], [2, 2], [3, 3]]) == 1.0


def test_preferences_by_hand() -> None:
    people: list[tuple[str, HumanLabel]] = [
        ("p", HumanLabel.of(["a", "a", "b"])),
        ("p", HumanLabel.of(["b", "b"])),
        ("q", HumanLabel.of(["a", "tie"])),
        ("q", HumanLabel.of(["a"])),
    ]
    found = preference_agreement(people)
    assert (found.kind, found.rows, found.opinions, found.alpha_level) == ("preferences", 3, 7, "nominal")
    assert found.pairwise is not None
    assert (found.pairwise.value, found.pairwise.n) == (pytest.approx((1 / 3 + 1 + 0) / 3), 3)
    assert (found.w, found.w_p_value, found.concordance) == (None, None, ())
    # Coincidences: aab gives aa 1, ab 1, ba 1; bb gives bb 2; a-tie gives at 1, ta 1. n = 7: a 3, b 3, tie 1.
    # Observed disagreement 4/7; expected (9 + 3 + 3) · 2 / 42 = 30/42: alpha = 1 - (4/7) / (5/7)
    assert found.alpha == pytest.approx(1 / 5)


def test_rankings_by_hand() -> None:
    rows = [
        Rankings("x", [[1, 2, 3], [1, 3, 2], [1, 2, 3]]),
        Rankings("y", [[1, 2], [1, 2], [1, None]]),
        Rankings("alone", [[1, 2, 3]]),
    ]
    found = ranking_agreement(rows)
    assert (found.kind, found.rows, found.opinions, found.alpha_level) == ("rankings", 2, 6, "ordinal")
    # x: pairs of items 1-2 and 1-3 are unanimous, of 2-3 one pair of raters in three agrees; y: its one pair is
    assert found.pairwise is not None
    assert found.pairwise.value == pytest.approx(((1 + 1 + 1 / 3) / 3 + 1) / 2)
    # x: sums 3, 7, 8 about 6: S = 14, W = 12 · 14 / (9 · 24); y without the gap: 1
    assert [(row.id, row.raters, row.items, row.w) for row in found.concordance] == [
        ("x", 3, 3, pytest.approx(7 / 9)),
        ("y", 2, 2, 1.0),
    ]
    assert found.w is not None
    assert (found.w.value, found.w.n) == (pytest.approx(8 / 9), 2)
    # chi-square 3 · 2 · 7/9 + 2 · 1 · 1 with 2 + 1 degrees of freedom
    assert found.w_p_value == pytest.approx(stats.chi2.sf(14 / 3 + 2, 3))
    expected = krippendorff.alpha(
        [[1, 2, 3, 1, 2], [1, 3, 2, 1, 2], [1, 2, 3, 1, np.nan]], level_of_measurement="ordinal"
    )
    assert found.alpha == pytest.approx(expected)


def test_a_tie_is_an_order_of_its_own() -> None:
    found = ranking_agreement([Rankings("x", [[1, 1], [2, 2], [1, 2]])])
    assert found.pairwise is not None
    assert found.pairwise.value == pytest.approx(1 / 3)


def test_nothing_to_compare_gives_none() -> None:
    for found in (preference_agreement([("p", HumanLabel.of(["a"]))]), ranking_agreement([Rankings("x", [[1, 2]])])):
        assert (found.rows, found.opinions) == (0, 0)
        assert found.pairwise is found.alpha is found.w is found.w_p_value is None
