"""Bradley-Terry strengths by hand, beside a generalised linear model, and on planted truths."""

import math
from itertools import combinations
from typing import Any

import numpy as np
import pytest
import statsmodels.api as sm
from scipy.special import expit

from preceptor.judging.groups.design import PairDesign, Played, next_round
from preceptor.judging.groups.strengths import PRIOR, bradley_terry, fit_groups

SOFT = [
    Played(0, 1, 0.8),
    Played(1, 2, 0.55),
    Played(2, 3, 0.9),
    Played(3, 0, 0.3),
    Played(0, 2, 0.6),
]


def known(values: tuple[float | None, ...]) -> list[float]:
    return [value for value in values if value is not None]


def test_two_responses_differ_by_the_log_odds() -> None:
    """The prior takes off about a hundredth."""
    strong, weak = known(bradley_terry(2, [Played(0, 1, 0.9)]).values)
    assert strong == -weak
    assert strong - weak == pytest.approx(math.log(9), rel=0.02)
    assert strong - weak < math.log(9)


def test_in_a_tree_every_preference_is_met() -> None:
    values = known(bradley_terry(3, [Played(0, 1, 0.8), Played(0, 2, 0.3)]).values)
    assert values[0] - values[1] == pytest.approx(math.log(4), rel=0.03)
    assert values[0] - values[2] == pytest.approx(math.log(3 / 7), rel=0.03)
    assert sum(values) == pytest.approx(0.0)


def test_a_certain_preference_has_a_finite_strength() -> None:
    """At the maximum, 2 (1 - σ(2u)) = PRIOR (2 σ(u) - 1)."""
    u, _ = known(bradley_terry(2, [Played(0, 1, 1.0)]).values)
    assert 2 * (1 - expit(2 * u)) == pytest.approx(PRIOR * (2 * expit(u) - 1), rel=1e-6)
    assert 2 < u < 4


def test_values_and_their_covariance_are_those_of_a_weighted_logistic_regression() -> None:
    """Of the preferences, and of a tie of weight PRIOR for each response."""
    design = np.zeros((len(SOFT) + 4, 4))
    for row, game in enumerate(SOFT):
        design[row, game.i], design[row, game.j] = 1, -1
    design[len(SOFT) :] = np.eye(4)
    outcomes = [*(game.p for game in SOFT), *[0.5] * 4]
    weights = np.array([1.0] * len(SOFT) + [PRIOR] * 4)
    fit: Any = sm.GLM(outcomes, design, family=sm.families.Binomial(), var_weights=weights).fit(tol=1e-12, scale=1.0)
    centre = np.eye(4) - 0.25
    covariance = centre @ fit.cov_params() @ centre
    found = bradley_terry(4, SOFT)
    assert found.values == pytest.approx(centre @ fit.params, abs=1e-6)
    residuals = np.array(outcomes[:5]) - fit.fittedvalues[:5]
    noise = (residuals**2 / (fit.fittedvalues[:5] * (1 - fit.fittedvalues[:5]))).sum() / (5 - 3)
    assert found.errors == pytest.approx(np.sqrt(noise * np.diag(covariance)), rel=1e-5)


def test_the_uncertainty_of_a_circle_by_hand() -> None:
    """Each beats the next with 0.7, so all are equal and every residual is 0.2: noise 3 · 0.04 / 0.25, one surplus.
    The curvature is 3/4 + PRIOR/4 in every direction that sums to 0.
    """
    found = bradley_terry(3, [Played(0, 1, 0.7), Played(1, 2, 0.7), Played(2, 0, 0.7)])
    assert found.values == pytest.approx([0.0, 0.0, 0.0], abs=1e-9)
    assert found.errors == pytest.approx([math.sqrt(0.48 * 2 / 3 / (0.75 + PRIOR / 4))] * 3)
    assert found.quantile == pytest.approx(12.706, abs=1e-3)
    low, high = found.interval(0) or (0.0, 0.0)
    assert high == -low == pytest.approx(12.706 * known(found.errors)[0], rel=1e-4)


def test_without_a_surplus_each_preference_counts_as_a_vote() -> None:
    """Curvature 1/4 · 2 + PRIOR/4 along (1, -1), of which each value has half."""
    found = bradley_terry(2, [Played(0, 1, 0.5)])
    assert found.errors == pytest.approx([math.sqrt(0.5 / (0.5 + PRIOR / 4))] * 2)
    assert found.quantile == pytest.approx(1.96, abs=1e-3)


def test_groups_share_the_estimate_of_noise_and_nothing_else() -> None:
    circle = [Played(0, 1, 0.7), Played(1, 2, 0.7), Played(2, 0, 0.7)]
    alone, pair = bradley_terry(3, circle), bradley_terry(2, [Played(0, 1, 0.8)])
    together = fit_groups([(3, circle), (2, [Played(0, 1, 0.8)]), (3, circle)])
    assert together[0].values == alone.values
    assert together[1].values == pair.values
    assert known(together[1].errors)[0] == pytest.approx(math.sqrt(0.48) * known(pair.errors)[0], rel=1e-4)
    assert together[0].quantile == pytest.approx(4.303, abs=1e-3)  # two surplus comparisons


def test_what_has_no_comparison_abstains() -> None:
    found = bradley_terry(4, [Played(0, 1, 0.8), Played(1, 2, None), Played(0, 3, 0.5)])
    assert found.values[2] is found.errors[2] is found.interval(2) is found.margins[2] is None
    assert len(known(found.values)) == 3
    assert found.parts == 1
    nothing = bradley_terry(2, [Played(0, 1, None)])
    assert nothing.values == nothing.errors == (None, None)
    assert nothing.parts == 0


def test_a_graph_in_two_parts_has_strengths_in_the_larger_one() -> None:
    games = [Played(0, 1, 0.8), Played(1, 2, None), Played(2, 3, 0.6), Played(3, 4, 0.6)]
    found = bradley_terry(5, games)
    assert found.parts == 2
    assert found.values[:2] == (None, None)
    assert sum(known(found.values)) == pytest.approx(0.0)
    assert known(bradley_terry(4, [Played(2, 3, 0.6), Played(0, 1, 0.8)]).values)[0] > 0  # equal parts: the first


def test_margins_are_expected_wins_over_siblings() -> None:
    found = bradley_terry(3, [Played(0, 1, 0.8), Played(1, 2, 0.7), Played(0, 2, 0.9)])
    a, b, c = known(found.values)
    assert found.margins[0] == pytest.approx((2 * expit(a - b) - 1 + 2 * expit(a - c) - 1) / 2)
    assert sum(known(found.margins)) == pytest.approx(0.0)


def played(design: PairDesign, truth: np.ndarray, rng: np.random.Generator, noise: float) -> list[Played]:
    """A soft judge whose log-odds have normal noise."""
    games: list[Played] = []
    while pairs := next_round(design, len(truth), games):
        games += [Played(i, j, float(expit(truth[i] - truth[j] + noise * rng.normal()))) for i, j in pairs]
    return games


@pytest.mark.parametrize(
    ("design", "least", "most"),
    [("all", 0.92, 0.98), ("circular", 0.92, 0.99), ("swiss", 0.92, 0.98), ("anchor", 0.97, 1), ("knockout", 0.97, 1)],
)
def test_intervals_hold_planted_strengths(design: PairDesign, least: float, most: float) -> None:
    """95% of 8 strengths in 200 groups, judged a few groups at a time; more where a preference counts as a vote."""
    rng, held = np.random.default_rng(7), list[bool]()
    for _ in range(40):
        truths = rng.normal(size=(5, 8))
        fits = fit_groups([(8, played(design, truth, rng, 0.5)) for truth in truths])
        for truth, fit in zip(truths, fits, strict=True):
            for place, value in enumerate(truth - truth.mean()):
                low, high = fit.interval(place) or (math.inf, -math.inf)
                held.append(bool(low <= value <= high))
    assert least <= np.mean(held) <= most


def test_designs_that_compare_more_recover_more() -> None:
    """Spearman's correlation with 8 planted strengths, over 100 groups."""
    found: dict[PairDesign, float] = {}
    for design in ("all", "swiss", "circular", "knockout"):
        rng = np.random.default_rng(11)
        truths = rng.normal(size=(100, 8))
        fits = fit_groups([(8, played(design, truth, rng, 0.6)) for truth in truths])
        ranks = [np.argsort(np.argsort(known(fit.values))) - 3.5 for fit in fits]
        found[design] = float(
            np.mean([r @ (np.argsort(np.argsort(t)) - 3.5) / 42 for r, t in zip(ranks, truths, strict=True)])
        )
    assert found["all"] > found["swiss"] > max(found["circular"], found["knockout"])
    assert found["swiss"] > 0.85


def test_hard_votes_are_recovered_too() -> None:
    truth, rng = np.array([1.0, 0.0, -1.0]), np.random.default_rng(3)
    games = [
        Played(i, j, float(rng.random() < expit(truth[i] - truth[j])))
        for _ in range(300)
        for i, j in combinations(range(3), 2)
    ]
    found = bradley_terry(3, games)
    assert found.values == pytest.approx(truth, abs=0.2)
    assert known(found.errors) == pytest.approx([0.07] * 3, abs=0.03)
