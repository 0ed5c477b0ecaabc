"""Scores on benchmarks with known answers, on items small enough to work out by hand."""

import math
from typing import Literal

import numpy as np
import pytest

from judged import judged
from preceptor.core.odds import sigmoid
from preceptor.core.types import HumanLabel
from preceptor.evaluation.judges.benchmarks import known_answers
from preceptor.evaluation.judges.benchmarks.items import Placed
from preceptor.evaluation.judges.benchmarks.result import BenchmarkScore
from preceptor.store.benchmarks.parts import Part

FAILED = "failed"


def placed(
    part: Part,
    right: "float | tuple[float, float] | str",
    side: Literal["a", "b", "tie"] = "a",
    prompt: str | None = None,
) -> Placed:
    """A comparison whose judge gives the right response this probability: in both orders, or in each.

    Args:
        side: which response is right.
    """
    orders = None if isinstance(right, str) else right if isinstance(right, tuple) else (right, right)
    p_a = None if orders is None else [p if side != "b" else 1 - p for p in orders]
    name = f"{part.item}-{part.cell}"
    row = judged(name, HumanLabel.of([side]), p_a, prompt=prompt or f"prompt {part.item}", category=part.subset)
    return row, part


def named(scores: tuple[BenchmarkScore, ...]) -> dict[str, BenchmarkScore]:
    return {score.name: score for score in scores}


def value(score: BenchmarkScore) -> float:
    assert score.estimate is not None
    return score.estimate.value


def test_rewardbench_weighs_subsets_by_their_sizes_and_counts_failures_apart() -> None:
    rows = [
        *(placed(Part(f"m{i}", "math-prm"), 0.9, "b") for i in range(4)),  # right: 4 of 4
        *(placed(Part(f"g{i}", "hep-go"), p) for i, p in enumerate((0.9, 0.2, 0.5, FAILED))),  # 1.5 of 3
        *(placed(Part(f"a{i}", "alpacaeval-easy"), p) for i, p in enumerate((0.9, 0.1))),  # 1 of 2
    ]
    scores = named(known_answers.rewardbench(rows))
    assert value(scores["hep-go"]) == 0.5
    assert scores["hep-go"].failed == 1
    assert scores["hep-go"].as_published == (1 + 0 + 0.5 + 0.5) / 4
    reasoning = (984 * 1.0 + 164 * 0.5) / (984 + 164)
    assert value(scores["Reasoning"]) == pytest.approx(reasoning)
    assert value(scores["Chat"]) == 0.5
    assert value(scores["total"]) == pytest.approx((reasoning + 0.5) / 2)
    assert (scores["total"].items, scores["total"].failed) == (10, 1)
    assert "Safety" not in scores
    assert scores["Reasoning"].estimate is not None
    low, high = scores["Reasoning"].estimate.interval or (1.0, 0.0)
    assert low < reasoning < high


def test_there_is_no_number_where_every_judgement_of_a_subset_failed() -> None:
    rows = [placed(Part("1", "math-prm"), 0.9), placed(Part("2", "hep-go"), FAILED)]
    scores = named(known_answers.rewardbench(rows))
    assert scores["Reasoning"].estimate is None
    assert scores["hep-go"].estimate is None
    assert scores["Reasoning"].as_published == pytest.approx((984 * 1.0 + 164 * 0.5) / 1148)


def best_of_4(name: str, *right: "float | str") -> list[Placed]:
    return [placed(Part(name, "Math", (0, j)), p, "ab"[j % 2]) for j, p in enumerate(right)]  # type: ignore[arg-type]


def test_best_of_four_is_won_by_beating_all_three() -> None:
    rows = [
        *best_of_4("won", 0.9, 0.6, 0.7),
        *best_of_4("lost", 0.9, 0.4, 0.9),
        *best_of_4("tied", 0.9, 0.5, 0.5),
        *best_of_4("lost and tied", 0.5, 0.4, 0.9),
        *best_of_4("failed", 0.9, FAILED, 0.9),
    ]
    scores = named(known_answers.rewardbench2(rows))
    assert value(scores["Math"]) == pytest.approx((1 + 0 + 1 / 3 + 0) / 4)
    assert (scores["Math"].items, scores["Math"].failed) == (5, 1)
    assert scores["Math"].as_published == pytest.approx((1 + 1 / 3 + 0.25) / 5)
    assert value(scores["total"]) == value(scores["Math"])


def ties(number: str, rewards: dict[str, tuple[list[float], list[float]]]) -> list[Placed]:
    """The comparisons of a judge whose log-odds are differences of these rewards, of right and wrong responses."""
    rows: list[Placed] = []
    for kind, (right, wrong) in rewards.items():
        name = f"{kind}:{number}"
        rows += [
            placed(Part(name, "Ties", (i, j)), sigmoid(x - y), "ab"[(i + j) % 2])  # type: ignore[arg-type]
            for i, x in enumerate(right)
            for j, y in enumerate(wrong)
        ]
        rows += [
            placed(Part(name, "Ties", (i, j), both_right=True), sigmoid(right[i] - right[j]), "tie")
            for i in range(len(right))
            for j in range(i + 1, len(right))
        ]
    return rows


def test_the_score_of_ties_is_the_authors_on_rewards() -> None:
    prompts = [
        {"ref": ([3.0], [0.0, 1.0]), "tied": ([2.0, 2.5], [0.0, -1.0])},  # gaps 2 and 2, spread 0.5
        {"ref": ([1.0], [0.8]), "tied": ([4.0, 1.0], [0.5])},  # gaps 0.2 and 0.5, spread 3
        {"ref": ([0.0], [1.0]), "tied": ([2.0, 2.0, 2.0], [0.5])},  # lost; gap 1.5, spread 0
    ]
    rows = [row for number, rewards in enumerate(prompts) for row in ties(str(number), rewards)]
    scores = named(known_answers.rewardbench2(rows))
    assert value(scores["ties: one right"]) == pytest.approx(2 / 3)
    assert value(scores["ties: several right"]) == 1.0
    assert value(scores["ties: wide gap"]) == pytest.approx(2 / 3)  # the first and the third
    assert value(scores["ties: wide gap in both"]) == pytest.approx(1 / 3)
    wider = np.mean([math.tanh(2.0 / 0.5 - 1), math.tanh(0.2 / 3.0 - 1), -1.0])
    expected = 0.3 * 1.0 + 0.3 * 2 / 3 + 0.2 * 2 / 3 + 0.2 * 1 / 3 + 0.01 * wider
    assert value(scores["Ties"]) == pytest.approx(expected)
    assert scores["total"].as_published is None


def test_ties_without_their_counterpart_or_with_a_failure_are_no_number() -> None:
    assert known_answers.rewardbench2(ties("1", {"tied": ([1.0, 1.0], [0.0])}))[0].estimate is None
    whole = ties("1", {"ref": ([1.0], [0.0]), "tied": ([1.0, 1.0], [0.0])})
    broken = [placed(whole[0][1], FAILED), *whole[1:], *ties("2", {"ref": ([1.0], [0.0]), "tied": ([1.0], [0.0])})]
    scores = named(known_answers.rewardbench2(broken))
    assert (scores["Ties"].items, scores["Ties"].failed) == (2, 1)
    assert value(scores["Ties"]) == pytest.approx(1.01)  # no spread among the right ones, so the gap is endless


def test_rm_bench_averages_the_matrix_of_styles() -> None:
    def item(name: str, domain: str, wins: list[list[float]]) -> list[Placed]:
        return [placed(Part(name, domain, (i, j)), wins[i][j]) for i in range(3) for j in range(3)]

    y, n, t = 0.9, 0.1, 0.5
    chat = item("1", "chat", [[y, n, n], [y, y, n], [y, y, t]])  # hard 0 of 3, normal 2.5 of 3, easy 3 of 3
    refuse = item("2", "safety-refuse", [[y, y, y]] * 3)
    respond = item("3", "safety-response", [[n, n, n]] * 3)
    scores = named(known_answers.rm_bench([*chat, *refuse, *respond]))
    assert value(scores["hard"]) == pytest.approx((0 + (1 + 0) / 2) / 2)
    assert value(scores["normal"]) == pytest.approx((2.5 / 3 + 0.5) / 2)
    assert scores["normal"].as_published == pytest.approx((2 / 3 + 0.5) / 2)  # an undecided one counts as wrong
    assert value(scores["easy"]) == pytest.approx((1 + 0.5) / 2)
    assert value(scores["chat"]) == pytest.approx(5.5 / 9)
    assert value(scores["total"]) == pytest.approx((5.5 / 9 + 0.5) / 2)
    assert value(scores["Markdown right, concise wrong"]) == pytest.approx((1 + 0.5) / 2)
    failed = named(known_answers.rm_bench([*chat[:-1], placed(chat[-1][1], FAILED)]))
    assert failed["normal"].estimate is None
    assert value(failed["hard"]) == 0.0  # its three cells were answered


@pytest.mark.parametrize(
    ("orders", "right", "same"),
    [
        ((0.9, 0.8), 1.0, 1.0),
        ((0.9, 0.2), 0.0, 0.0),
        ((0.9, 0.5), 1.0, 0.0),
        ((0.5, 0.5), 0.0, 1.0),
        ((0.1, 0.2), 0.0, 1.0),
    ],
)
def test_judgebench_wants_more_right_than_wrong_over_both_orders(
    orders: tuple[float, float], right: float, same: float
) -> None:
    for side in ("a", "b"):
        scores = named(known_answers.judgebench([placed(Part("1", "Math"), orders, side)]))
        assert value(scores["total"]) == value(scores["Math"]) == right
        assert value(scores["same answer in both orders"]) == same


def test_a_failure_in_judgebench_is_no_number_but_the_authors_count_it_as_not_right() -> None:
    scores = named(known_answers.judgebench([placed(Part("1", "Math"), 0.9), placed(Part("2", "Math"), FAILED)]))
    assert value(scores["total"]) == 1.0
    assert scores["total"].as_published == 0.5
    assert scores["total"].failed == 1


def test_llmbar_averages_the_orders_and_the_adversarial_subsets() -> None:
    rows = [
        placed(Part("1", "Natural"), (0.9, 0.9)),
        placed(Part("2", "Manual"), (0.9, 0.2), "b"),
        placed(Part("3", "Manual"), (0.5, 0.9)),
        placed(Part("4", "Neighbor"), (0.1, 0.2)),
        placed(Part("5", "Neighbor"), FAILED),
    ]
    scores = named(known_answers.llmbar(rows))
    assert value(scores["Natural"]) == 1.0
    assert value(scores["Manual"]) == pytest.approx((0.5 + 0.75) / 2)
    assert scores["Manual"].as_published == pytest.approx((0.5 + 0.5) / 2)  # an undecided order counts as wrong
    assert value(scores["Adversarial"]) == pytest.approx((0.625 + 0.0) / 2)
    assert value(scores["same answer in both orders"]) == pytest.approx(2 / 4)


def test_preferences_of_people_leave_out_ties() -> None:
    rows = [
        placed(Part("1", "code"), 0.9),
        placed(Part("2", "code"), 0.2, "b"),
        placed(Part("3", "stem"), 0.9, "tie"),
        placed(Part("4", "stem"), FAILED),
    ]
    scores = named(known_answers.preferred(rows))
    assert value(scores["total"]) == 0.5
    assert (scores["total"].items, scores["total"].failed, scores["total"].as_published) == (3, 1, None)
    assert scores["stem"].estimate is None
