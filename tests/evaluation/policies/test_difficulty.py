"""The joint fit of length and difficulty: its derivatives, and what it makes of planted numbers."""

import itertools

import numpy as np
import pytest
from scipy.special import expit

from preceptor.evaluation.policies.difficulty import Conditional, Pairs, effect_of_length, fit_jointly


def planted(prompts: int, policies: int, rng: np.random.Generator) -> tuple[Pairs, np.ndarray]:
    """Difficulty goes with length; length has an effect of 1. The truth is the rate of these prompts at x = 0."""
    easy_I = rng.normal(size=prompts)
    policy_N = np.tile(np.arange(policies), prompts)
    prompt_N = np.repeat(np.arange(prompts), policies)
    x_N = rng.normal(size=len(prompt_N)) + 0.7 * easy_I[prompt_N] - 0.8 + 0.2 * policy_N
    theta_M = np.linspace(-1, 1, policies)
    p_N = expit(theta_M[policy_N] + 1.0 * x_N + 1.3 * easy_I[prompt_N])
    outcome_N = (rng.random(len(p_N)) < p_N).astype(float)
    return Pairs(policy_N, prompt_N, x_N, outcome_N), expit(theta_M + 1.3 * easy_I[:, None]).mean(axis=0)


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


def test_prompts_that_a_policy_was_not_judged_on_are_not_among_its_prompts() -> None:
    pairs, _ = planted(100, 3, np.random.default_rng(2))
    kept = ~((pairs.policy_N == 2) & (pairs.prompt_N >= 60))
    fit = fit_jointly(Pairs(pairs.policy_N[kept], pairs.prompt_N[kept], pairs.x_N[kept], pairs.outcome_N[kept]))
    assert [rate.n for rate in fit.rates] == [100, 100, 60]


def test_a_policy_that_always_wins_has_a_rate_below_one() -> None:
    pairs, _ = planted(40, 3, np.random.default_rng(3))
    outcome_N = np.where(pairs.policy_N == 0, 1.0, pairs.outcome_N)
    rate = fit_jointly(Pairs(pairs.policy_N, pairs.prompt_N, pairs.x_N, outcome_N)).rates[0]
    assert rate.low is not None
    assert 0.6 < rate.low < rate.value < 1


def test_what_is_within_prompts_has_neither_policies_nor_prompts_means() -> None:
    pairs, _ = planted(30, 4, np.random.default_rng(4))
    for groups in (pairs.policy_N, pairs.prompt_N):
        assert np.bincount(groups, pairs.within_N) == pytest.approx(0, abs=1e-9)


def uneven(prompts: int, rng: np.random.Generator) -> Pairs:
    """Two policies; length has an effect of 1.5. Prompts are harder, and their difficulty is more spread, where the
    first one's responses are long. The second one's lengths have nothing to do with the prompt.
    """
    x_2I = np.tanh(rng.normal(size=(2, prompts))) + np.array([[-0.3], [-0.6]])
    easy_I = -0.8 * x_2I[0] + np.exp(1.2 * x_2I[0]) * rng.normal(size=prompts)
    p_2I = expit(np.array([[2.5], [-1.5]]) + 1.5 * x_2I + easy_I)
    outcome_2I = (rng.random((2, prompts)) < p_2I).astype(float)
    return Pairs(np.tile([0, 1], prompts), np.repeat(np.arange(prompts), 2), x_2I.T.ravel(), outcome_2I.T.ravel())


def test_the_effect_of_length_is_found_where_difficulty_goes_with_one_policies_lengths_only() -> None:
    effects = [fit_jointly(uneven(5000, np.random.default_rng(seed))).effect for seed in range(2)]
    assert np.mean(effects) == pytest.approx(1.5, abs=0.25)


def test_the_effect_of_length_is_that_of_all_orders_in_which_as_many_pairs_are_won() -> None:
    """Against the sum over all of them, with prompts of one to four pairs, and with outcomes of one half."""
    rng = np.random.default_rng(5)
    prompt_N = np.repeat(np.arange(20), np.arange(20) % 4 + 1)
    policy_N, x_N = rng.integers(0, 2, size=len(prompt_N)), rng.normal(size=len(prompt_N))
    outcome_N = rng.choice([0.0, 0.5, 1.0], size=len(prompt_N))
    point_K = np.array([0.4, -0.3, 0.9])
    expected = 0.0
    for i in range(20):
        own = prompt_N == i
        log_odds, outcome = point_K[policy_N[own]] + 0.9 * x_N[own], outcome_N[own]
        orders = [np.array(order) for order in itertools.product((0.0, 1.0), repeat=int(own.sum()))]
        for order in orders:
            likely = np.prod(np.where(order > 0, outcome, 1 - outcome))
            among = [np.exp(log_odds @ other) for other in orders if other.sum() == order.sum()]
            expected += likely * (log_odds @ order - np.log(np.sum(among)))
    model = Conditional(Pairs(policy_N, prompt_N, x_N, outcome_N))
    assert model.scores(point_K)[0] == pytest.approx(expected)
    numeric_K = [(model.loss(point_K + step)[0] - model.loss(point_K - step)[0]) / 2e-5 for step in 1e-5 * np.eye(3)]
    assert model.loss(point_K)[1] == pytest.approx(numeric_K, abs=1e-6)


def test_where_no_prompt_tells_the_effect_of_length_nothing_is_known_but_the_prior() -> None:
    pairs, _ = planted(100, 2, np.random.default_rng(6))
    alike_N = pairs.outcome_N[2 * pairs.prompt_N]  # both of a prompt's pairs end as the first one does
    effect = effect_of_length(Pairs(pairs.policy_N, pairs.prompt_N, pairs.x_N, alike_N))
    assert effect.value == pytest.approx(1.0, abs=1e-3)
    assert effect.of_prior == pytest.approx(1.5**2, rel=1e-3)
    assert effect.influence_I == pytest.approx(0, abs=1e-6)
