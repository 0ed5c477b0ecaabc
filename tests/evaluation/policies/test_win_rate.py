"""Win rates by hand, and in simulations whose truth is known."""

import math
from typing import cast

import numpy as np
import pytest
from scipy.special import expit, logit
from statsmodels.stats.proportion import proportion_confint

from preceptor.evaluation.intervals import Estimate, rate_by_prompt
from preceptor.evaluation.pairs import JudgedPair
from preceptor.evaluation.policies.win_rate import WinRate, significance, win_rate


def judged(prompt: str, p_a: float, cohort: str = "c", **orders: float) -> JudgedPair:
    return JudgedPair(prompt, cohort, "new", "old", p_a, length_a=10, length_b=10, by_order=orders)


def found(pairs: list[JudgedPair], policy: str = "new", against: str = "old", cohort: str | None = None) -> WinRate:
    rate = win_rate(pairs, policy, against, cohort)
    assert rate is not None
    return rate


def wilson(wins: float, trials: int) -> tuple[float, float]:
    return cast("tuple[float, float]", proportion_confint(wins, trials, method="wilson"))


def exact(wins: float, trials: int) -> tuple[float, float]:
    return cast("tuple[float, float]", proportion_confint(wins, trials, method="beta"))


PAIRS = [
    judged("1", 0.9, "chat", ab=0.95, ba=0.85),  # wins
    judged("1", 0.4, "chat", ab=0.7, ba=0.1),  # loses, though it wins where it stands first
    judged("2", 0.5, "chat", ab=0.8, ba=0.2),  # neither wins: the first one does, whichever it is
    judged("3", 0.8, "code", ab=0.8, ba=0.8),
    judged("4", 0.6, "code"),  # the judge saw no order
]


def test_by_hand() -> None:
    rate = found(PAIRS)
    assert (rate.wins, rate.ties, rate.losses) == (3, 1, 1)
    # Prompt 1 won and lost, 2 tied, 3 and 4 won: every prompt weighs the same.
    assert rate.rate.value == (0.5 + 0.5 + 1 + 1) / 4
    assert rate.soft.value == pytest.approx((0.65 + 0.5 + 0.8 + 0.6) / 4)
    assert rate.rate.n == rate.soft.n == 4
    assert rate.single_order is not None
    assert (rate.single_order.value, rate.single_order.n) == (1.0, 3)
    assert rate.orders_disagree == 2 / 4
    # Differences from one half: 0 0 .5 .5. Of the four patterns of signs two reach a sum of 1.
    assert rate.p_value == 0.5


def test_seen_from_the_other_policy() -> None:
    rate, other = found(PAIRS), found(PAIRS, "old", "new")
    assert (other.wins, other.ties, other.losses) == (rate.losses, rate.ties, rate.wins)
    assert other.rate.value == pytest.approx(1 - rate.rate.value)
    assert other.rate.low == pytest.approx(1 - (rate.rate.high or math.nan), abs=0.02)  # its resamples are others
    assert (other.p_value, other.orders_disagree) == (rate.p_value, rate.orders_disagree)
    # Where "old" stood first, in the order ba, it has .15, .9, .8 and .2.
    assert other.single_order is not None
    assert other.single_order.value == pytest.approx((0.5 + 1 + 0) / 3)


def test_of_one_cohort_and_of_none() -> None:
    assert found(PAIRS, cohort="code").wins == 2
    assert found(PAIRS, cohort="code").cohort == "code"
    assert win_rate(PAIRS, "new", "old", "poetry") is None
    assert win_rate(PAIRS, "new", "another") is None


def test_what_the_judge_saw_no_order_of_has_no_order() -> None:
    rate = found([judged(f"{i}", 0.9) for i in range(5)])
    assert rate.single_order is rate.orders_disagree is None


def test_winning_always_is_not_certainty() -> None:
    rate = found([judged(f"{i % 9}", 0.7) for i in range(36)])
    low, _ = exact(9, 9)
    assert (rate.rate.value, rate.rate.low, rate.rate.high) == (1.0, pytest.approx(low), 1.0)
    low, high = exact(0.7 * 9, 9)
    assert rate.soft.value == pytest.approx(0.7)
    assert (rate.soft.low, rate.soft.high) == (pytest.approx(low), pytest.approx(high))
    lost = found([judged(f"{i}", 0.0) for i in range(9)]).rate
    assert (lost.value, lost.low, lost.high) == (0.0, 0.0, pytest.approx(exact(0, 9)[1]))


def test_no_rounding_error_puts_a_rate_outside_its_interval() -> None:
    assert {cast("Estimate", rate_by_prompt([[1.0]] * prompts)).high for prompts in range(3, 60)} == {1.0}
    assert {cast("Estimate", rate_by_prompt([[0.0]] * prompts)).low for prompts in range(3, 60)} == {0.0}


def test_two_prompts_have_no_interval() -> None:
    rate = found([judged("1", 0.9), judged("1", 0.2), judged("2", 1.0)])
    assert (rate.rate.value, rate.rate.low, rate.rate.high, rate.rate.n) == (0.75, None, None, 2)
    assert rate.p_value is None
    assert rate_by_prompt([[], []]) is None


def test_significance_by_hand() -> None:
    strong = found([judged(f"{i}", 0.9) for i in range(10)])  # p = 2 / 2¹⁰
    weak = found([judged(f"{i}", 0.9 if i < 8 else 0.1) for i in range(10)])  # 8 of 10: p = 2 (1 + 10 + 45) / 2¹⁰
    unknown = found([judged("1", 0.9)])
    one, two, three = significance([strong, weak, unknown])
    assert (one.p_holm, one.significant) == (pytest.approx(2 * 2 / 2**10), True)
    assert (two.p_holm, two.significant) == (pytest.approx(112 / 2**10), False)
    assert (three.p_holm, three.significant, three.rate) == (None, False, 1.0)


def test_an_interval_that_holds_one_half_is_not_significant_whatever_p_is() -> None:
    rate = found([judged(f"{i}", 0.9) for i in range(10)])
    wide = rate.model_copy(update={"rate": rate.rate.model_copy(update={"low": 0.4})})
    assert [each.significant for each in significance([rate, wide])] == [True, False]


def test_intervals_know_that_samples_of_a_prompt_are_alike() -> None:
    """Four samples of a prompt mostly share its outcome. Intervals over prompts hold the planted rate about as often as
    they say; an interval that takes the samples for independent ones does not come near.
    """
    rng, trials, truth = np.random.default_rng(0), 120, 0.65
    covered = naively = 0
    for _ in range(trials):
        shared, own = rng.random((40, 1)), rng.random((40, 4))
        wins = np.where(rng.random((40, 4)) < 0.85, shared, own) < truth
        pairs = [judged(f"{i}", float(win)) for i, row in enumerate(wins) for win in row]
        estimate = found(pairs).rate
        assert estimate.low is not None
        assert estimate.high is not None
        covered += estimate.low <= truth <= estimate.high
        low, high = wilson(int(wins.sum()), wins.size)
        naively += low <= truth <= high
    assert covered / trials > 0.95 - 3 * math.sqrt(0.95 * 0.05 / trials) - 0.01
    assert naively / trials < 0.85


def test_both_orders_undo_the_pull_of_a_position() -> None:
    """A judge that prefers the new policy in 60% of cases, and in log-odds pulls to the first by more than that."""
    rng, pairs = np.random.default_rng(1), list[JudgedPair]()
    better = rng.permutation(np.repeat([1.0, -1.0], [240, 160]))
    for i, preference in enumerate(better * rng.uniform(0.5, 1.5, size=400)):
        ab, ba = float(expit(preference + 1.2)), float(expit(preference - 1.2))
        pairs.append(judged(f"{i}", float(expit((logit(ab) + logit(ba)) / 2)), ab=ab, ba=ba))
    rate = found(pairs)
    assert rate.rate.value == 0.6
    assert rate.single_order is not None
    assert rate.single_order.low is not None
    assert rate.single_order.low > 0.8  # it has the first win wherever the pull is stronger than the preference
    assert rate.orders_disagree == pytest.approx(0.7, abs=0.06)
