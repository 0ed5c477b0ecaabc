import math

import numpy as np
import pytest

from preceptor.evaluation.intervals import jackknife, mean_by_prompt, perplexity
from preceptor.evaluation.text import distinct_2, vader


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


def test_equal_values_have_an_interval_of_no_width() -> None:
    estimate = mean_by_prompt([[1.0]] * 5)
    assert estimate is not None
    assert (estimate.low, estimate.high) == (1.0, 1.0)


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
    # 95 % nominal; four standard errors of 150 trials, and the small-sample shortfall of a bootstrap.
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
    values = ["1", "2", "3", "4", "9"]
    estimate = jackknife([[v] for v in values], lambda texts: sum(map(float, texts)) / len(texts))
    error = np.std([1, 2, 3, 4, 9], ddof=1) / math.sqrt(5)
    assert estimate is not None
    assert estimate.high is not None
    assert estimate.high - estimate.value == pytest.approx(1.959964 * error)


def test_vader_tells_tones_apart() -> None:
    assert vader("What a wonderful day, thank you!") > 0.5 > 0 > vader("This is a terrible, sad mess.")
