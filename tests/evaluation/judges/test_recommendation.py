"""What an audit recommends, from its numbers."""

import math

import numpy as np
import pytest
from scipy import stats

from judged import judged
from preceptor.core.types import HumanLabel
from preceptor.evaluation.intervals import Estimate, mean_interval
from preceptor.evaluation.judges.judge_audit import JudgeRun, audit
from preceptor.evaluation.judges.recommendation import more_rows, recommendation
from preceptor.judging.specs import JudgeSpec


def run(name: str, answers: list[tuple[float, ...]], seconds: float = 1.0) -> JudgeRun:
    """A judge's p_a in one or two orders, on rows in which people prefer a, which is longer every second time."""
    people = HumanLabel.of(["a"])
    rows = [
        judged(str(number), people, given, texts=("longer", "x") if number % 2 else ("x", "longer"))
        for number, given in enumerate(answers)
    ]
    spec = JudgeSpec(model="scripted:first")
    return JudgeRun(judge=name, constitution="c 1", rows=rows, seconds=seconds, spec=spec)


def answers(right: int, of: int, orders: tuple[float, ...] = (0.9, 0.8)) -> list[tuple[float, ...]]:
    return [orders if i < right else tuple(1 - p for p in orders) for i in range(of)]


def test_a_clear_winner_needs_no_more_labels() -> None:
    reason, asking, labels = recommendation(audit([run("good", answers(95, 100)), run("fair", answers(75, 100))]))
    assert reason.startswith("good agrees most")
    assert "cascade was not measured" in asking
    assert labels == "No more labels are needed to choose good."


def test_judges_that_cannot_be_told_apart_need_more_labels() -> None:
    mixed = [(0.9, 0.8) if i % 10 else (0.1, 0.2) for i in range(100)]  # 90 right, others than those of the first
    _, _, labels = recommendation(audit([run("one", answers(92, 100)), run("other", mixed)]))
    assert "decide between one and other" in labels
    assert "2.0 points" in labels
    same = audit([run("one", mixed), run("other", mixed)])
    assert "No feasible number" in recommendation(same)[2]


def test_both_orders_are_worth_twice_the_calls_only_where_they_gain() -> None:
    biased = [(0.4, 0.9) if i % 2 else (0.9, 0.9) for i in range(200)]  # half wrong in one order, all right in both
    gains = audit([run("biased", biased)])
    assert gains.judges[0].both_orders_gain is not None
    assert gains.judges[0].both_orders_gain.value == 0.5
    assert "Show biased both orders" in recommendation(gains)[1]
    steady = audit([run("steady", answers(195, 200))])
    assert "One order is enough for steady" in recommendation(steady)[1]
    unsure = audit([run("unsure", [(0.4, 0.9) if i == 0 else (0.9, 0.8) for i in range(30)])])
    assert "Keep showing unsure both orders" in recommendation(unsure)[1]


def test_orders_that_were_not_asked_or_do_not_exist_are_said_to_be_so() -> None:
    one = audit([run("single", answers(95, 100, (0.9,)))])
    assert one.judges[0].both_orders_gain is None
    assert "one order" in recommendation(one)[1]
    alone = audit([run("scorer", answers(95, 100, (0.9, 0.9)))])
    assert alone.judges[0].both_orders_gain is None
    assert "scores each response alone" in recommendation(alone)[1]


@pytest.mark.parametrize(("right", "says"), [(40, "not worth their price"), (54, "beats chance")])
def test_a_judge_that_is_not_fit_may_need_labels_or_another_model(right: int, says: str) -> None:
    reason, _, labels = recommendation(audit([run("poor", answers(right, 100))]))
    assert reason.startswith("Do not use poor")
    assert says in labels


def test_a_judge_without_an_answer_gets_one_sentence() -> None:
    assert recommendation(audit([run("silent", [])]))[1:] == ("", "")


def test_the_number_of_labels_shows_the_difference_four_times_in_five() -> None:
    """Simulated: with that many rows more, the interval of the mean excludes 0 in about 80% of the samples."""
    rng = np.random.default_rng(4)
    n, mean = 100, 0.05
    half = float(stats.norm.ppf(0.975)) * 0.5 / math.sqrt(n)
    more = more_rows(Estimate(value=mean, low=mean - half, high=mean + half, n=n))
    assert more is not None
    intervals = [mean_interval(rng.normal(mean, 0.5, n + more)) for _ in range(400)]
    shown = sum(interval is not None and interval[0] > 0 for interval in intervals) / 400
    assert 0.74 < shown < 0.87
    assert more_rows(Estimate(value=0.0, low=-1.0, high=1.0, n=10)) is None
    assert more_rows(Estimate(value=0.1, low=None, high=None, n=2)) is None
    assert more_rows(Estimate(value=1e-6, low=-0.1, high=0.1, n=1000)) is None
