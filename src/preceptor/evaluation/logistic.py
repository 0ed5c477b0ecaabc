"""Logistic regressions with a bootstrap over prompts: thousands of small fits at once."""

import numpy as np

from preceptor.evaluation.intervals import LEAST, LEVEL, Estimate

RESAMPLES = 2000
SEED = 20_230_901  # any fixed number, so that the same data gives the same interval
_CELLS = 200_000  # numbers in one array, few enough to fit the processor's cache
_STEPS = 200


def fit_logistic(
    design_NK: np.ndarray, outcomes_RN: np.ndarray, weights_RN: np.ndarray, start_K: np.ndarray | None = None
) -> np.ndarray:
    """Maximum likelihood of logit p = design · coefficients by Newton's method, once for every row of weights.

    Outcomes may be any numbers in [0, 1], as in the fractional logit (Papke & Wooldridge 1996). If coefficients
    separate all outcomes, there is no maximum: the result is then the last step's, and far out.

    Args:
        design_NK: observations × coefficients, with a column of ones for an intercept.
        outcomes_RN: one row for all fits, or one row per fit.
        weights_RN: fits × observations, none negative.
        start_K: starting point of all fits, zeros by default; it affects only how long they take.

    Returns: coefficients_RK.
    """
    width = design_NK.shape[1]
    products_NC = (design_NK[:, :, None] * design_NK[:, None, :]).reshape(len(design_NK), width * width)
    outcomes_RN = np.broadcast_to(outcomes_RN, weights_RN.shape)
    found_RK = np.tile(np.zeros(width) if start_K is None else start_K, (len(weights_RN), 1))
    size = max(1, _CELLS // len(design_NK))
    for first in range(0, len(weights_RN), size):
        part = slice(first, first + size)
        found_RK[part] = _newton(design_NK, products_NC, outcomes_RN[part], weights_RN[part], found_RK[part])
    return found_RK


def _newton(
    design_NK: np.ndarray,
    products_NC: np.ndarray,
    outcomes_RN: np.ndarray,
    weights_RN: np.ndarray,
    start_RK: np.ndarray,
) -> np.ndarray:
    """Takes full Newton steps, halved as long as they lower the likelihood: far from the maximum they overshoot."""
    best_RK = trial_RK = start_RK
    best_R = np.full(len(start_RK), np.inf)
    steady = 1e-10 * np.eye(
        start_RK.shape[1]
    )  # keeps it solvable where the curvature vanishes, and does not move the maximum
    for _ in range(_STEPS):
        log_odds_RN = trial_RK @ design_NK.T
        small_RN = np.exp(-np.abs(log_odds_RN))
        loss_RN = np.maximum(log_odds_RN, 0.0) + np.log1p(small_RN) - outcomes_RN * log_odds_RN
        loss_R = np.einsum("rn,rn->r", weights_RN, loss_RN)
        worse_R = loss_R > best_R + 1e-9 * np.abs(best_R)  # beyond rounding
        mean_RN = np.where(log_odds_RN < 0, small_RN, 1.0) / (1.0 + small_RN)
        gradient_RK = (weights_RN * (outcomes_RN - mean_RN)) @ design_NK
        curvature_RC = (weights_RN * mean_RN * (1.0 - mean_RN)) @ products_NC
        step_RK = np.linalg.solve(curvature_RC.reshape(*trial_RK.shape, -1) + steady, gradient_RK[..., None])[..., 0]
        best_RK = np.where(worse_R[:, None], best_RK, trial_RK)
        best_R = np.where(worse_R, best_R, loss_R)
        trial_RK = np.where(worse_R[:, None], (best_RK + trial_RK) / 2, trial_RK + step_RK)
        if np.abs((trial_RK - best_RK) @ design_NK.T).max() < 1e-5:  # the error is about the square of the last step
            return trial_RK
    return best_RK


def prompt_weights(prompts: int, rng: np.random.Generator) -> np.ndarray:
    """Weights of prompts in the resamples of a Bayesian bootstrap (Rubin 1981): resamples × prompts, with mean 1.

    The usual bootstrap omits prompts, and without the one loss among many wins a fit has no maximum. Here every prompt
    keeps some weight. As with any bootstrap, intervals over few prompts are slightly too narrow: in simulations of
    length control with 20 to 100 prompts, 95% intervals held the truth in 91 to 96% of cases, 94% on average.
    """
    return rng.exponential(size=(RESAMPLES, prompts))


def percentile_estimate(value: float, resampled_R: np.ndarray, prompts: int) -> Estimate:
    """A value with the 95% percentile interval of its resamples; below ten prompts it has none."""
    if prompts < LEAST:
        return Estimate(value=value, low=None, high=None, n=prompts)
    low, high = np.quantile(resampled_R, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return Estimate(value=value, low=float(low), high=float(high), n=prompts)
