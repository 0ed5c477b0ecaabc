"""Scores on benchmarks of people's opinions, on rows small enough to work out by hand."""

import pytest
from sklearn.metrics import precision_recall_fscore_support

from judged import judged
from preceptor.core.types import HumanLabel
from preceptor.evaluation.judges.benchmarks import opinions
from preceptor.evaluation.judges.benchmarks.items import Placed
from preceptor.evaluation.judges.benchmarks.result import BenchmarkScore
from preceptor.evaluation.judges.replacement import Opinion
from preceptor.store.benchmarks.parts import Part


def placed(
    name: str,
    ratings: list[Opinion],
    p_a: "tuple[float, float] | None",
    raters: tuple[str, ...] = (),
    subset: str = "all",
) -> Placed:
    """A row with people's opinions and p_a in each order; None for a failure."""
    return judged(name, HumanLabel.of(ratings, raters), p_a), Part(name, subset)


def named(scores: tuple[BenchmarkScore, ...]) -> dict[str, BenchmarkScore]:
    return {score.name: score for score in scores}


def value(score: BenchmarkScore) -> float:
    assert score.estimate is not None
    return score.estimate.value


def test_mt_bench_counts_every_experts_vote_and_a_judge_votes_for_what_wins_in_both_orders() -> None:
    rows = [
        placed("1", ["a", "tie", "b"], (0.9, 0.8), ("expert_1", "expert_2", "author_0"), "turn 1"),  # says a
        placed("2", ["b", "b"], (0.9, 0.2), ("expert_1", "expert_3"), "turn 1"),  # the orders differ: a tie
        placed("3", ["b", "tie"], (0.1, 0.2), ("expert_1", "expert_2"), "turn 2"),  # says b
        placed("4", ["b"], None, ("expert_1",), "turn 2"),
    ]
    scores = named(opinions.mt_bench(rows))
    assert value(scores["turn 1, with ties"]) == 1 / 4  # a = a; a and tie; tie and b, twice
    assert value(scores["turn 1, without ties"]) == 1.0  # only a = a is left
    assert value(scores["turn 2, with ties"]) == 1 / 2
    assert scores["turn 2, with ties"].failed == 1
    people = named(opinions.mt_bench_people(rows))
    assert value(people["turn 1, with ties"]) == 1 / 2  # a and tie differ, b and b agree; the author does not count
    assert value(people["turn 1, without ties"]) == 1.0
    assert value(people["turn 2, with ties"]) == 0.0


def test_pandalm_is_scored_in_three_classes() -> None:
    said = {"a": (0.9, 0.9), "b": (0.1, 0.1), "tie": (0.5, 0.5)}
    pairs: list[tuple[Opinion, Opinion]] = [("a", "a"), ("a", "b"), ("b", "b"), ("b", "tie"), ("tie", "a"), ("a", "a")]
    rows = [placed(str(i), [truth, truth, "a"], said[answer]) for i, (truth, answer) in enumerate(pairs)]
    scores = named(opinions.pandalm(rows))
    assert value(scores["accuracy"]) == pytest.approx(3 / 6)
    precision, recall, f1, _ = precision_recall_fscore_support(
        [truth for truth, _ in pairs],
        [answer for _, answer in pairs],
        average="macro",
        zero_division=0,  # pyright: ignore[reportArgumentType]
    )
    assert value(scores["macro precision"]) == pytest.approx(precision)
    assert value(scores["macro recall"]) == pytest.approx(recall)
    assert value(scores["macro F1"]) == pytest.approx(f1)
    failed = named(opinions.pandalm([*rows, placed("x", ["tie", "tie", "a"], None)]))
    assert value(failed["accuracy"]) == value(scores["accuracy"])
    assert failed["accuracy"].failed == failed["macro F1"].failed == 1
    assert failed["accuracy"].as_published == pytest.approx(4 / 7)  # the authors count a failure as a tie


def test_no_interval_of_pandalm_leaves_the_scale() -> None:
    truths: list[Opinion] = ["a", "b", "tie"] * 4
    rows = [placed(str(i), [truth] * 3, (0.5, 0.5)) for i, truth in enumerate(truths)]  # it always says tie
    precision = named(opinions.pandalm(rows))["macro precision"].estimate
    recall = named(opinions.pandalm([placed("0", ["b"] * 3, (0.9, 0.9)), *right(truths[1:])]))["macro recall"].estimate
    assert precision is not None
    assert recall is not None
    assert precision.low is not None
    assert 0.0 <= precision.low < precision.value
    assert (recall.high, recall.value) == (1.0, pytest.approx((1 + 4 / 5 + 1) / 3))


def right(truths: list[Opinion]) -> list[Placed]:
    """Rows on which the judge says what people say."""
    said = {"a": (0.9, 0.9), "b": (0.1, 0.1), "tie": (0.5, 0.5)}
    return [placed(str(i), [truth] * 3, said[truth]) for i, truth in enumerate(truths, start=1)]


def test_where_three_people_differ_the_first_counts() -> None:
    assert opinions.first_mode(["b", "tie", "a"]) == "b"
    assert opinions.first_mode(["b", "a", "a"]) == "a"


def test_alpaca_eval_leaves_one_person_out_at_a_time() -> None:
    rows = [
        placed("1", ["a", "a", "a", "b"], (0.9, 0.9)),  # the mode of any three is a
        placed("2", ["a", "a", "b", "b"], (0.1, 0.1)),  # without an a, b leads; without a b, a leads
        placed("3", ["a", "b", "tie", "tie"], (0.9, 0.9)),  # a is one of three modes where a tie is left out
        placed("4", ["a", "a", "a", "a"], None),
    ]
    scores = named(opinions.alpaca_eval(rows))
    third = (0 + 0 + 1 / 3 + 1 / 3) / 4
    assert value(scores["human agreement"]) == pytest.approx((1 + 0.5 + third) / 3)
    assert scores["human agreement"].failed == 1
    people = named(opinions.alpaca_eval_people(rows))
    first = 3 / 4  # the one who says b disagrees with the others
    second = 0.0  # whoever is left out is in the minority of the others
    fourth = 1.0
    others = (0 + 0 + 1 / 3 + 1 / 3) / 4  # those who say a tie find three different opinions
    assert value(people["human agreement"]) == pytest.approx((first + second + others + fourth) / 4)
