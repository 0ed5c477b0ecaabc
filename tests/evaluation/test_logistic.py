"""Many small logistic regressions at once, against scipy and statsmodels."""

import math
from typing import Any, cast

import numpy as np
import pytest
import statsmodels.api as sm
from scipy import optimize
from scipy.special import expit

from preceptor.evaluation.logistic import fit_logistic, percentile_estimate, prompt_weights


def test_each_fit_is_that_of_statsmodels() -> None:
    rng = np.random.default_rng(0)
    design_NK = np.column_stack([np.ones(60), rng.normal(size=60), rng.normal(size=60)])
    outcomes_N = np.round(expit(design_NK @ [0.5, 2.0, -1.0] + rng.normal(size=60)), 1)
    weights_RN = rng.exponential(size=(5, 60))
    found_RK = fit_logistic(design_NK, outcomes_N, weights_RN)
    far_off = np.array([5.0, 20.0, 20.0])  # from there a full step of Newton's leads farther away
    assert fit_logistic(design_NK, outcomes_N, weights_RN, start_K=far_off) == pytest.approx(found_RK, abs=1e-6)
    for coefficients_K, weights_N in zip(found_RK, weights_RN, strict=True):
        model = sm.GLM(outcomes_N, design_NK, family=sm.families.Binomial(), var_weights=weights_N)
        assert coefficients_K == pytest.approx(cast("Any", model.fit(tol=1e-12)).params, abs=1e-6)


def test_lopsided_weights_need_no_good_start() -> None:
    """One loss that hardly weighs anything among wins: the maximum is far out, and flat."""
    x_N, outcomes_N = np.linspace(-1, 1, 21), np.ones(21)
    outcomes_N[12] = 0.0
    design_NK = np.column_stack([np.ones(21), x_N])
    weights_RN = np.ones((2, 21))
    weights_RN[1, 12] = 1e-4
    found_RK = fit_logistic(design_NK, outcomes_N, weights_RN)
    for coefficients_K, weights_N in zip(found_RK, weights_RN, strict=True):

        def loss(at_K: np.ndarray, weights_N: np.ndarray = weights_N) -> float:
            sign_N = 2 * outcomes_N - 1
            return float(weights_N @ np.logaddexp(0, -sign_N * (design_NK @ at_K)))

        expected = optimize.minimize(loss, np.zeros(2), method="Nelder-Mead", options={"xatol": 1e-9, "fatol": 1e-14})
        assert coefficients_K == pytest.approx(expected.x, abs=1e-3)


def test_outcomes_may_differ_between_fits_and_many_fits_are_done_in_parts() -> None:
    rates_R = np.linspace(0.1, 0.9, 2500)  # of 100 observations: more than are held at once
    found_RK = fit_logistic(np.ones((100, 1)), np.repeat(rates_R[:, None], 100, axis=1), np.ones((2500, 100)))
    assert expit(found_RK[:, 0]) == pytest.approx(rates_R, abs=1e-6)


def test_what_has_no_maximum_lies_far_out() -> None:
    design_NK = np.column_stack([np.ones(4), [-2.0, -1.0, 1.0, 2.0]])
    ((intercept, slope),) = fit_logistic(design_NK, np.array([0.0, 0.0, 1.0, 1.0]), np.ones((1, 4)))
    assert intercept == pytest.approx(0, abs=1e-3)
    assert 10 < slope < math.inf


def test_resampled_means_are_spread_like_a_mean() -> None:
    values_P = np.random.default_rng(1).normal(size=50)
    weights_RP = prompt_weights(50, np.random.default_rng(2))
    means_R = weights_RP @ values_P / weights_RP.sum(axis=1)
    assert means_R.mean() == pytest.approx(values_P.mean(), abs=0.02)
    assert means_R.std() == pytest.approx(values_P.std() / np.sqrt(51), rel=0.06)  # Rubin 1981


def test_percentiles_by_hand() -> None:
    estimate = percentile_estimate(0.5, np.arange(201.0), 10)
    assert (estimate.value, estimate.low, estimate.high, estimate.n) == (0.5, pytest.approx(5), pytest.approx(195), 10)
    assert percentile_estimate(0.5, np.arange(201.0), 9).low is None
