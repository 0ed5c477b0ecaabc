"""Sign flips and Holm's correction, by hand and against scipy."""

import math

import numpy as np
import pytest
from scipy import stats

from preceptor.evaluation.signs import holm, sign_flip_p_value


def test_by_hand() -> None:
    # Of the 8 patterns only +++ and --- reach a sum of 6.
    assert sign_flip_p_value([1.0, 2.0, 3.0]) == 2 / 8
    # The sums are 6, 4, 2, 0, 0, -2, -4 and -6: four of the eight reach 4.
    assert sign_flip_p_value([-1.0, 2.0, 3.0]) == 4 / 8
    # 0.1 + 0.2 - 0.3 is not quite 0: every pattern reaches it, and rounding must not lose any.
    assert sign_flip_p_value([0.1, 0.2, -0.3]) == 1.0
    assert sign_flip_p_value([0.5] * 10) == 2 / 2**10


def test_prompts_without_a_difference_say_nothing() -> None:
    assert sign_flip_p_value([1.0, 2.0, 3.0] + [0.0] * 1000) == 2 / 8
    assert sign_flip_p_value([0.0] * 5) == 1.0
    assert sign_flip_p_value([0.1 + 0.2 - 0.3] * 20) == 1.0  # 5.6e-17, a rounding error and no difference


def test_too_few_prompts_and_numbers_that_are_none() -> None:
    assert sign_flip_p_value([]) is sign_flip_p_value([1.0, 1.0]) is None
    with pytest.raises(ValueError, match="finite"):
        sign_flip_p_value([1.0, math.nan, 1.0])


@pytest.mark.parametrize("n", [9, 14, 15, 60])
def test_like_scipy(n: int) -> None:
    differences = np.random.default_rng(n).normal(0.4, 1.0, size=n)
    expected = stats.permutation_test(
        (differences,),
        lambda d, axis=-1: np.mean(d, axis=axis),  # pyright: ignore
        permutation_type="samples",
        n_resamples=2**14,
        rng=np.random.default_rng(1),
    ).pvalue
    found = sign_flip_p_value(list(differences))
    assert found is not None
    exact = n <= 14
    assert found == pytest.approx(expected, abs=1e-12 if exact else 5 * math.sqrt(2 * expected / 9_999))


def test_a_drawn_p_value_is_never_0_and_the_same_each_time() -> None:
    assert sign_flip_p_value([1.0] * 2000) == 1 / 10_000
    values = list(np.random.default_rng(0).normal(size=300))
    assert sign_flip_p_value(values) == sign_flip_p_value(values)


def test_no_difference_is_called_one_as_often_as_p_says() -> None:
    rng = np.random.default_rng(3)
    found = [sign_flip_p_value(list(rng.choice([-0.5, 0.0, 0.5], size=30))) for _ in range(400)]
    below = sum(p is not None and p < 0.05 for p in found) / 400
    assert below < 0.05 + 3 * math.sqrt(0.05 * 0.95 / 400)


def test_holm_by_hand_leaves_out_what_is_not_known() -> None:
    # Known .01 .04 .03: times 3, 2 and 1 from the smallest, never falling: .03 .06 .06.
    assert holm([0.01, None, 0.04, 0.03]) == [pytest.approx(0.03), None, pytest.approx(0.06), pytest.approx(0.06)]
    assert holm([None, None]) == [None, None]
    assert holm([]) == []
