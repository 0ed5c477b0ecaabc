"""Certified thresholds: hand-checked binomials, a cascade by hand, and a simulation of the guarantee."""

import math
from collections.abc import Callable

import numpy as np
import pytest
from scipy.stats import binom

from preceptor.judging.thresholds import Certificate, certify, least_answers, most_disagreements, standing


def test_the_binomial_test_by_hand() -> None:
    """With alpha 1/2 and 5 answers: P(0) = 1/32 = 0.031 and P(at most 1) = 6/32 = 0.1875."""
    assert most_disagreements(5, 0.5, 0.05) == 0
    assert most_disagreements(5, 0.5, 0.2) == 1
    assert most_disagreements(5, 0.5, 0.03) == -1
    assert most_disagreements(0, 0.5, 0.5) == -1


def test_the_fewest_answers_that_can_be_certified() -> None:
    """0.8¹⁰ = 0.107 and 0.8¹¹ = 0.086; 0.9²¹ = 0.109 and 0.9²² = 0.098."""
    assert least_answers(0.2, 0.1) == 11
    assert least_answers(0.1, 0.1) == 22
    assert most_disagreements(11, 0.2, 0.1) == 0


def test_the_first_judge_that_is_sure_enough_answers() -> None:
    """A failure (NaN) and exactly one half never stand, whatever the threshold."""
    confidence = np.array([[0.9, 0.6], [0.7, 0.6], [0.7, 0.55], [np.nan, 0.9], [0.5, 0.5]])
    assert standing(confidence, (0.8, 0.6)).tolist() == [0, 1, -1, 1, -1]
    assert standing(confidence, (None, 0.5)).tolist() == [1, 1, 1, 1, -1]
    assert standing(confidence, (0.5, None)).tolist() == [0, 0, 0, -1, -1]


def test_where_people_always_agree_the_first_judge_answers_everything_alone() -> None:
    confidence = np.linspace(0.51, 0.99, 60).repeat(2).reshape(60, 2)
    agrees = np.ones((60, 2), dtype=bool)
    found = certify(confidence, agrees, confidence, agreement=0.8, certainty=0.9)
    assert (found.answered, found.disagreements, found.labels) == (60, 0, 60)
    assert found.least == 18  # 0.8¹⁸ = 0.018 is below 0.1 / 5, for five chains
    assert found.thresholds == (0.5, None)


def test_what_cannot_be_certified_says_how_many_labels_could() -> None:
    """People agree with 9 of 10 answers, whatever the confidence: enough for 80%, but not on 30 labels."""
    confidence = np.full((30, 2), 0.9)
    agrees = np.array([[place % 10 != 0] * 2 for place in range(30)])
    found = certify(confidence, agrees, confidence, agreement=0.8, certainty=0.9)
    assert found.thresholds is None
    assert found.needed is not None
    assert binom.cdf(math.ceil(found.needed / 10), found.needed, 0.2) <= 0.1 / 5
    assert 50 < found.needed < 120


def test_agreement_that_is_too_low_is_not_certified_by_any_number_of_labels() -> None:
    confidence = np.full((200, 2), 0.9)
    agrees = np.array([[place % 2 == 0] * 2 for place in range(200)])
    found = certify(confidence, agrees, confidence, agreement=0.8, certainty=0.9)
    assert (found.thresholds, found.needed) == (None, None)


def test_too_few_labels_for_any_agreement() -> None:
    found = certify(
        np.full((10, 2), 0.9), np.ones((10, 2), dtype=bool), np.full((10, 2), 0.9), agreement=0.8, certainty=0.9
    )
    assert (found.thresholds, found.answered, found.least) == (None, 0, 18)


def test_nothing_to_certify_on() -> None:
    some, none = np.full((3, 2), 0.9), np.empty((0, 2))
    with pytest.raises(ValueError, match="others"):
        certify(some, some > 0, none, agreement=0.8, certainty=0.9)


def drawn(seed: int, truth: Callable[[np.ndarray], np.ndarray], labels: int) -> Certificate:
    """A calibration on labels that are drawn from a truth: people agree with probability truth(confidence)."""
    generator = np.random.default_rng(seed)
    confidence, elsewhere = (generator.uniform(0.5, 1.0, (labels, 2)) for _ in range(2))
    agrees = generator.random((labels, 2)) < truth(confidence)
    return certify(confidence, agrees, elsewhere, agreement=0.8, certainty=0.9)


def violations(found: list[Certificate], truth: Callable[[np.ndarray], np.ndarray]) -> int:
    """How many of the certified cascades truly agree with people on less than 80% of their answers."""
    confidence = np.random.default_rng(0).uniform(0.5, 1.0, (50_000, 2))
    true = truth(confidence)
    wrong = 0
    for thresholds in (each.thresholds for each in found if each.thresholds is not None):
        judge = standing(confidence, thresholds)
        wrong += float(true[judge >= 0, judge[judge >= 0]].mean()) < 0.8
    return wrong


RUNS = 400
MOST_VIOLATIONS = int(
    binom.isf(1e-6, RUNS, 0.1)
)  # of violations with probability 0.1 each, more come once in a million


def test_the_guarantee_holds_where_every_choice_is_just_not_good_enough() -> None:
    """People agree with 79.5% whatever the confidence: whatever is certified is certified wrongly."""

    def truth(confidence: np.ndarray) -> np.ndarray:
        return np.full(confidence.shape, 0.795)

    found = [drawn(seed, truth, 100) for seed in range(RUNS)]
    assert 0 < violations(found, truth) <= MOST_VIOLATIONS


def test_the_guarantee_holds_where_confidence_is_worth_something_and_is_not_for_nothing() -> None:
    """People agree with 50 to 100% of the second judge's answers by confidence, and less with the first's."""

    def truth(confidence: np.ndarray) -> np.ndarray:
        first, second = 0.5 + 0.7 * (confidence[:, 0] - 0.5), confidence[:, 1]
        return np.stack([first, second], axis=1)

    found = [drawn(seed, truth, 300) for seed in range(RUNS)]
    assert violations(found, truth) <= MOST_VIOLATIONS
    assert sum(each.thresholds is not None for each in found) > RUNS / 2


def test_the_guarantee_holds_where_confidence_misleads() -> None:
    """The surer, the more wrong."""

    def truth(confidence: np.ndarray) -> np.ndarray:
        return 0.9 - 0.5 * (confidence - 0.5)

    found = [drawn(seed, truth, 100) for seed in range(RUNS)]
    assert violations(found, truth) <= MOST_VIOLATIONS
