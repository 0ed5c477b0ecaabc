import math
from collections.abc import Callable
from typing import cast

import numpy as np
import pytest
from statsmodels.stats.proportion import proportion_confint

from preceptor.evaluation.checkpoints.text import distinct_2
from preceptor.evaluation.intervals import (
    bounded_mean,
    jackknife,
    mean_by_prompt,
    mean_interval,
    perplexity,
    rate_interval,
    weighted_rate,
)
from preceptor.judging.text_features import vader


def test_samples_of_a_prompt_count_as_one() -> None:
    estimate = mean_by_prompt([[0.0, 1.0], [0.5], [], [2.0, 2.0, 2.0]])
    assert estimate is not None
    assert estimate.value == pytest.approx((0.5 + 0.5 + 2.0) / 3)
    assert estimate.n == 3


def test_too_little_data_has_no_interval_and_none_has_no_value() -> None:
    assert mean_by_prompt([[], []]) is None
    two = mean_by_prompt([[1.0], [2.0]])
    assert two is not None
    assert (two.value, two.low, two.high) == (1.5, None, None)


def test_equal_values_say_nothing_of_their_spread() -> None:
    estimate = mean_by_prompt([[1.0]] * 50)
    assert estimate is not None
    assert (estimate.value, estimate.low, estimate.high) == (1.0, None, None)


def test_a_mean_of_fewer_than_ten_prompts_has_no_interval() -> None:
    nine, ten = (mean_by_prompt([[float(i)] for i in range(n)]) for n in (9, 10))
    assert nine is not None
    assert ten is not None
    assert (nine.low, nine.high) == (None, None)
    error = math.sqrt(np.var(range(10), ddof=1) / 10)
    assert ten.low == pytest.approx(4.5 - 2.262157 * error)  # Student's t with 9 degrees of freedom: no skewness
    assert ten.high == pytest.approx(4.5 + 2.262157 * error)


def test_a_long_tail_moves_its_end_out() -> None:
    values = np.exp(np.random.default_rng(3).normal(size=40))
    interval = mean_interval(values)
    assert interval is not None
    reach = 2.022691 * values.std(ddof=1) / math.sqrt(40)
    assert values.mean() - interval[0] == pytest.approx(reach)
    assert interval[1] - values.mean() > 1.1 * reach
    assert mean_interval(-values) == pytest.approx((-interval[1], -interval[0]))


def exact(won: float, trials: float) -> tuple[float, float]:
    low, high = proportion_confint(won, trials, method="beta")
    return float(cast("float", low)), float(cast("float", high))


@pytest.mark.parametrize(("won", "of"), [(0, 4), (4, 4), (3, 9), (10, 12), (50, 60)])
def test_rates_of_prompts_that_are_won_or_lost_are_clopper_and_pearson_s(won: int, of: int) -> None:
    values = np.array([1.0] * won + [0.0] * (of - won))
    low, high = rate_interval(values, np.ones(of))
    assert (low, high) == pytest.approx(tuple(0.0 if np.isnan(end) else end for end in exact(won, of)))
    assert high > low


def test_prompts_that_are_alike_are_worth_no_more_than_trials_where_they_are_few() -> None:
    assert rate_interval(np.full(9, 0.7), np.ones(9)) == pytest.approx(exact(6.3, 9))
    low, high = rate_interval(np.full(100, 0.7), np.ones(100))
    assert 0 < high - low < 0.05  # of many, they are worth more


def test_the_interval_of_a_rate_is_that_of_what_is_left_to_one_turned_round() -> None:
    values = np.random.default_rng(1).beta(2, 1, size=30)
    low, high = rate_interval(values, np.ones(30))
    assert rate_interval(1 - values, np.ones(30)) == pytest.approx((1 - high, 1 - low))
    assert bounded_mean((2 * values - 1).tolist(), -1.0, 1.0).low == pytest.approx(2 * low - 1)


def test_prompts_with_many_rows_make_the_interval_wider() -> None:
    rng = np.random.default_rng(2)
    wins = (rng.random(40) < 0.6).astype(float)
    counts = np.array([20.0] * 4 + [1.0] * 36)
    uneven, even = rate_interval(wins * counts, counts), rate_interval(wins, np.ones(40))
    assert uneven[1] - uneven[0] > 1.5 * (even[1] - even[0])


SAMPLES: dict[str, tuple[Callable[[np.random.Generator, int], np.ndarray], float]] = {
    "normal": (lambda rng, n: rng.normal(size=n), 0.0),
    "skewed": (lambda rng, n: rng.exponential(size=n), 1.0),
    "two humps": (lambda rng, n: np.where(rng.random(n) < 0.25, -0.6, 0.8) + rng.uniform(-0.2, 0.2, n), 0.45),
}


@pytest.mark.parametrize("kind", SAMPLES)
@pytest.mark.parametrize("n", [10, 30])
def test_means_are_covered_about_as_often_as_they_say(kind: str, n: int) -> None:
    """The intervals' ancestors, BCa from three prompts on, held the mean of ten skewed values 88% of the time."""
    draw, truth = SAMPLES[kind]
    rng, trials = np.random.default_rng(4), 600
    intervals = [mean_interval(draw(rng, n)) for _ in range(trials)]
    covered = sum(each is not None and each[0] <= truth <= each[1] for each in intervals) / trials
    assert covered > 0.95 - 2.5 * math.sqrt(0.95 * 0.05 / trials)


@pytest.mark.parametrize("n", [4, 9, 30])
@pytest.mark.parametrize("samples", [1, 4])
@pytest.mark.parametrize("truth", [0.5, 0.9])
def test_rates_are_covered_at_least_as_often_as_they_say(truth: float, samples: int, n: int) -> None:
    """Prompts differ as much as they can for their mean. Of four, a bootstrap holds 0.9 in at most 34% of cases: where
    all are won its interval has no width.
    """
    rng, trials = np.random.default_rng(5), 600
    covered = 0
    for _ in range(trials):
        p = rng.beta(truth, 1 - truth, size=n)[:, None] if samples > 1 else truth
        low, high = rate_interval((rng.random((n, samples)) < p).mean(axis=1), np.ones(n))
        covered += low <= truth <= high
    assert covered / trials > 0.95 - 2.5 * math.sqrt(0.95 * 0.05 / trials)


def test_one_stratum_is_a_rate_and_several_are_weighed() -> None:
    won, none = np.array([1.0] * 30 + [0.0] * 10), np.array([0.0] * 20)
    ones = np.ones_like
    value, low, high = weighted_rate([(2.0, won, ones(won))])
    assert value == 0.75
    assert (low, high) == pytest.approx(rate_interval(won, ones(won)), abs=0.02)
    value, low, high = weighted_rate([(3.0, won, ones(won)), (1.0, none, ones(none))])
    assert value == pytest.approx((3 * 0.75 + 0.0) / 4)
    assert low < value < high
    assert weighted_rate([(1.0, none, ones(none)), (1.0, none, ones(none))])[:2] == (0.0, 0.0)


@pytest.mark.parametrize("rates", [(0.9, 0.6, 0.75), (0.97, 0.99, 1.0), (0.5, 0.5, 0.1)])
def test_weighted_rates_are_covered_about_as_often_as_they_say(rates: tuple[float, ...]) -> None:
    """Strata of other sizes than their weights, as RewardBench has."""
    rng = np.random.default_rng(8)
    weights, sizes = (1.0, 4.0, 2.0), (40, 25, 15)
    truth = sum(w * rate for w, rate in zip(weights, rates, strict=True)) / sum(weights)
    covered = 0
    for _ in range(400):
        drawn = [(rng.random(n) < rate).astype(float) for n, rate in zip(sizes, rates, strict=True)]
        _, low, high = weighted_rate([(w, sums, np.ones_like(sums)) for w, sums in zip(weights, drawn, strict=True)])
        covered += low <= truth <= high
    assert covered / 400 > 0.93


def test_intervals_cover_the_mean_about_as_often_as_they_say() -> None:
    """Prompts differ (sd 1), samples within a prompt differ less (sd 0.3): samples are not independent."""
    rng = np.random.default_rng(0)
    trials, covered = 150, 0
    for _ in range(trials):
        values = [list(rng.normal(mu, 0.3, size=3)) for mu in rng.normal(0.5, 1.0, size=40)]
        estimate = mean_by_prompt(values)
        assert estimate is not None
        assert estimate.low is not None
        assert estimate.high is not None
        covered += estimate.low <= 0.5 <= estimate.high
    # 95% nominal; four standard errors of 150 trials, and a small-sample shortfall.
    assert covered / trials > 0.95 - 4 * math.sqrt(0.95 * 0.05 / trials) - 0.01


def test_perplexity_by_hand() -> None:
    estimate = perplexity([-math.log(4) * 2, -math.log(2) * 2], [2, 2])
    assert estimate is not None
    assert estimate.value == pytest.approx(math.sqrt(8))
    assert perplexity([], []) is None


def test_distinct_2_by_hand() -> None:
    # bigrams: (a b) (b a) (a b) | (A b): 2 different of 4
    assert distinct_2(["a b a b", "A b"]) == 0.5
    assert distinct_2(["one"]) == 0.0


def test_jackknife_of_a_mean_is_its_standard_error() -> None:
    values = ["1", "2", "3", "4", "9", "2", "5", "4", "3", "7"]
    estimate = jackknife([[v] for v in values], lambda texts: sum(map(float, texts)) / len(texts))
    error = np.std([float(value) for value in values], ddof=1) / math.sqrt(10)
    assert estimate is not None
    assert estimate.high is not None
    assert estimate.high - estimate.value == pytest.approx(2.262157 * error)


def test_a_jackknife_of_few_prompts_or_of_texts_that_are_alike_has_no_interval() -> None:
    for texts in (["a b", "b c", "c d"], ["a b"] * 12):
        estimate = jackknife([[text] for text in texts], lambda texts: float(len(texts[0])))
        assert estimate is not None
        assert (estimate.low, estimate.high) == (None, None)


def test_vader_tells_tones_apart() -> None:
    assert vader("What a wonderful day, thank you!") > 0.5 > 0 > vader("This is a terrible, sad mess.")
