"""The joint fit of length and difficulty: its derivatives, and what it makes of planted numbers."""

import numpy as np
import pytest
from scipy.special import expit

from preceptor.evaluation.difficulty import Pairs, fit_jointly


def planted(prompts: int, contestants: int, rng: np.random.Generator) -> tuple[Pairs, np.ndarray]:
    """Difficulty goes with length; length has an effect of 1. The truth is the rate of these prompts at x = 0."""
    easy_I = rng.normal(size=prompts)
    contestant_N = np.tile(np.arange(contestants), prompts)
    prompt_N = np.repeat(np.arange(prompts), contestants)
    x_N = rng.normal(size=len(prompt_N)) + 0.7 * easy_I[prompt_N] - 0.8 + 0.2 * contestant_N
    theta_M = np.linspace(-1, 1, contestants)
    p_N = expit(theta_M[contestant_N] + 1.0 * x_N + 1.3 * easy_I[prompt_N])
    outcome_N = (rng.random(len(p_N)) < p_N).astype(float)
    return Pairs(contestant_N, prompt_N, x_N, outcome_N), expit(theta_M + 1.3 * easy_I[:, None]).mean(axis=0)


def test_the_effect_of_length_and_the_rates_are_found() -> None:
    pairs, truth_M = planted(600, 5, np.random.default_rng(1))
    fit = fit_jointly(pairs)
    assert fit.effect == pytest.approx(1.0, abs=0.15)
    for rate, truth in zip(fit.rates, truth_M, strict=True):
        assert rate.value == pytest.approx(truth, abs=0.03)
        assert rate.low is not None
        assert rate.high is not None
        assert rate.low < truth < rate.high
        assert rate.n == 600


def test_prompts_that_a_contestant_was_not_judged_on_are_not_among_its_prompts() -> None:
    pairs, _ = planted(100, 3, np.random.default_rng(2))
    kept = ~((pairs.contestant_N == 2) & (pairs.prompt_N >= 60))
    fit = fit_jointly(Pairs(pairs.contestant_N[kept], pairs.prompt_N[kept], pairs.x_N[kept], pairs.outcome_N[kept]))
    assert [rate.n for rate in fit.rates] == [100, 100, 60]


def test_a_contestant_that_always_wins_has_a_rate_below_one() -> None:
    pairs, _ = planted(40, 3, np.random.default_rng(3))
    outcome_N = np.where(pairs.contestant_N == 0, 1.0, pairs.outcome_N)
    rate = fit_jointly(Pairs(pairs.contestant_N, pairs.prompt_N, pairs.x_N, outcome_N)).rates[0]
    assert rate.low is not None
    assert 0.6 < rate.low < rate.value < 1


def test_what_is_within_prompts_has_neither_contestants_nor_prompts_means() -> None:
    pairs, _ = planted(30, 4, np.random.default_rng(4))
    for groups in (pairs.contestant_N, pairs.prompt_N):
        assert np.bincount(groups, pairs.within_N) == pytest.approx(0, abs=1e-9)
