"""Bradley-Terry ratings, by hand, against statsmodels, and against planted strengths."""

import math
from itertools import combinations
from typing import Any, cast

import numpy as np
import pytest
import statsmodels.api as sm
from scipy.special import expit, logit
from statsmodels.stats.proportion import proportion_confint

from preceptor.evaluation.pairs import JudgedPair
from preceptor.evaluation.policies.ratings import bradley_terry


def judged(prompt: str, policy_a: str, policy_b: str, p_a: float) -> JudgedPair:
    return JudgedPair(prompt, "c", policy_a, policy_b, p_a, length_a=10, length_b=10)


def contest(one: str, other: str, wins: int, losses: int) -> list[JudgedPair]:
    return [judged(f"{i}", one, other, float(i < wins)) for i in range(wins + losses)]


def test_two_policies_by_hand() -> None:
    base, new = bradley_terry(contest("new", "base", 30, 10), ["base", "new"])
    assert new.rating.value == pytest.approx(math.log(30.5 / 10.5))  # half a win and half a loss to start with
    assert new.expected_win_rate == pytest.approx(30.5 / 41)
    low, high = proportion_confint(30, 40, method="jeffreys")
    assert expit(cast("float", new.rating.low)) == pytest.approx(low, abs=0.015)
    assert expit(cast("float", new.rating.high)) == pytest.approx(high, abs=0.015)
    assert (base.rating.value, base.rating.low, base.rating.high, base.rating.n) == (0.0, 0.0, 0.0, 40)
    assert (base.policy, base.expected_win_rate, new.rating.n) == ("base", 0.5, 40)


def test_prompts_weigh_the_same_and_a_tie_is_half_a_win() -> None:
    pairs = [judged("1", "new", "base", 0.9)] * 6 + [judged("2", "base", "new", 0.5), judged("3", "new", "base", 0.2)]
    pairs.append(judged("3", "base", "new", 0.4))  # prompt 3: lost and won
    _, new = bradley_terry(pairs, ["base", "new"])
    assert new.rating.value == pytest.approx(math.log((2 + 0.5) / (1 + 0.5)))
    assert new.rating.n == 3


def test_three_policies_are_those_of_statsmodels() -> None:
    results = {("x", "y"): (12, 28), ("x", "z"): (9, 31), ("y", "z"): (18, 22)}
    pairs = [pair for (one, other), counts in results.items() for pair in contest(one, other, *counts)]
    design = [[1.0, -1.0, 0.0], [1.0, 0.0, -1.0], [0.0, 1.0, -1.0]]
    counts = np.array(list(results.values())) + 0.5
    model = sm.GLM(counts, np.array(design)[:, 1:], family=sm.families.Binomial())
    expected = cast("Any", model.fit(tol=1e-12)).params
    found = bradley_terry(pairs, ["x", "y", "z"])
    assert [each.rating.value for each in found] == pytest.approx([0.0, *expected], abs=1e-6)
    other_zero = bradley_terry(pairs, ["z", "y", "x"])
    assert [each.rating.value for each in other_zero] == pytest.approx(
        [0.0, expected[0] - expected[1], -expected[1]], abs=1e-6
    )


def test_policies_that_never_met_are_rated_through_a_third() -> None:
    pairs = contest("y", "x", 60, 20) + contest("z", "y", 60, 20)
    _, y, z = bradley_terry(pairs, ["x", "y", "z"])
    assert y.rating.value == pytest.approx(math.log(60.5 / 20.5))
    assert z.rating.value == pytest.approx(2 * math.log(60.5 / 20.5))
    assert cast("float", z.rating.high) - cast("float", z.rating.low) > cast("float", y.rating.high) - cast(
        "float", y.rating.low
    )


def test_winning_everything_is_finite_and_far_from_certain() -> None:
    _, new = bradley_terry(contest("new", "base", 20, 0), ["base", "new"])
    assert new.rating.value == pytest.approx(math.log(20.5 / 0.5))
    assert expit(cast("float", new.rating.low)) == pytest.approx(
        proportion_confint(20, 20, method="jeffreys")[0], abs=0.02
    )
    assert math.isfinite(cast("float", new.rating.high))


def test_pairs_of_others_are_left_out_and_two_prompts_have_no_interval() -> None:
    pairs = [*contest("new", "base", 1, 1), *contest("other", "new", 5, 0), judged("9", "new", "new", 1.0)]
    assert bradley_terry(pairs, ["base", "new"]) == bradley_terry(contest("new", "base", 1, 1), ["base", "new"])
    _, new = bradley_terry(pairs, ["base", "new"])
    assert (new.rating.value, new.rating.low, new.rating.high, new.rating.n) == (pytest.approx(0.0), None, None, 2)


def test_what_cannot_be_rated() -> None:
    pairs = contest("a", "b", 3, 2) + contest("c", "d", 3, 2)
    with pytest.raises(ValueError, match="no comparison of e, f with another"):
        bradley_terry(pairs, ["a", "b", "e", "f"])
    with pytest.raises(ValueError, match="no chain of comparisons leads from a to c, d"):
        bradley_terry(pairs, ["a", "b", "c", "d"])
    with pytest.raises(ValueError, match="no comparison"):
        bradley_terry(pairs, ["a"])


def test_planted_strengths_are_recovered() -> None:
    """Four policies, two samples of each of 50 prompts that often have the same outcome."""
    strengths, rng, trials = {"w": 0.0, "x": 0.5, "y": 1.0, "z": -0.7}, np.random.default_rng(0), 50
    covered, values = 0, list[list[float]]()
    for _ in range(trials):
        pairs: list[JudgedPair] = []
        for one, other in combinations(strengths, 2):
            p = expit(strengths[one] - strengths[other])
            for i in range(50):
                first, second = rng.random(2)
                again = first if rng.random() < 0.6 else second
                pairs += [judged(f"{i}", one, other, float(first < p)), judged(f"{i}", one, other, float(again < p))]
        found = bradley_terry(pairs, list(strengths))
        values.append([each.rating.value for each in found])
        for each in found[1:]:
            assert each.rating.low is not None
            assert each.rating.high is not None
            covered += each.rating.low <= strengths[each.policy] <= each.rating.high
            assert each.expected_win_rate == pytest.approx(expit(each.rating.value))
    assert np.mean(values, axis=0) == pytest.approx(list(strengths.values()), abs=0.12)
    # Three ratings of a trial are not independent: three standard errors of the trials, not of the ratings.
    assert covered / (3 * trials) > 0.94 - 3 * math.sqrt(0.94 * 0.06 / trials)
    assert covered < 3 * trials


def test_the_rating_of_two_is_the_logit_of_the_win_rate_but_for_the_start() -> None:
    _, new = bradley_terry(contest("new", "base", 700, 300), ["base", "new"])
    assert new.rating.value == pytest.approx(logit(0.7), abs=0.002)
