"""From items to a score: numbers by hand."""

import pytest

from preceptor.core.rubric import Rubric, rubric_of
from preceptor.core.types import JudgeFailure, Rater, Verdict
from preceptor.judging.rubrics.aggregate import (
    MOST_VALUES,
    ItemJudgement,
    RubricScore,
    as_verdict,
    higher,
    score_distribution,
)

RATER = Rater(model="m", constitution="rubric", constitution_hash="0")
FAILED = ItemJudgement(failure=JudgeFailure(reason="no_answer", detail="hm"))
UNASSESSED = ItemJudgement()
THREE = rubric_of([{"criterion": "a", "points": 3}, "b", {"criterion": "c", "points": -2}])


def judged(p: float) -> ItemJudgement:
    """The judgement of an item that is met with this probability."""
    return ItemJudgement(met=p, verdict=Verdict(probabilities={"yes": p, "no": 1 - p, "unclear": 0.0}, choice_mass=0.8))


def by_code(share: float) -> ItemJudgement:
    return ItemJudgement(met=share)


def score(rubric: Rubric, *items: ItemJudgement) -> RubricScore:
    distribution = score_distribution(rubric, items)
    assert distribution is not None
    verdict, values = as_verdict(distribution, items)
    return RubricScore(verdict=verdict, values=values, rater=RATER, rubric_hash="0", items=items)


def test_points_met_over_points_possible() -> None:
    assert score_distribution(THREE, [by_code(1), by_code(0), by_code(0)]) == {0.75: 1}
    assert score_distribution(THREE, [by_code(1), by_code(1), by_code(1)]) == {0.5: 1}
    assert score_distribution(THREE, [by_code(0.5), by_code(1), by_code(0)]) == {0.625: 1}


def test_the_score_lies_within_0_and_1() -> None:
    assert score_distribution(THREE, [by_code(0), by_code(0), by_code(1)]) == {0: 1}


def test_probabilities_give_the_distribution_of_the_score() -> None:
    # Sums of a and b: 4 and 3 with 0.4 each, 1 and 0 with 0.1 each; c takes 2 from each with 0.25.
    distribution = score_distribution(THREE, [judged(0.8), judged(0.5), judged(0.25)])
    assert distribution == pytest.approx({1: 0.3, 0.75: 0.3, 0.5: 0.1, 0.25: 0.175, 0: 0.125})
    scored = score(THREE, judged(0.8), judged(0.5), judged(0.25))
    assert scored.expectation == pytest.approx(0.61875)  # 0.6 if sums below 0 were not clipped
    assert scored.rescaled == pytest.approx(0.2375)
    assert scored.verdict.choice_mass == pytest.approx(0.8)


def test_a_threshold_counts_each_item_fully_or_not_at_all() -> None:
    assert score_distribution(THREE, [judged(0.8), judged(0.49), judged(0.5)], "threshold") == {0.25: 1}
    assert score_distribution(THREE, [judged(0.5), judged(0.9), judged(0.1)], "threshold") == {1: 1}


@pytest.mark.parametrize("missing", [UNASSESSED, FAILED])
def test_an_item_that_was_not_assessed_is_in_neither_sum(missing: ItemJudgement) -> None:
    assert score_distribution(THREE, [missing, by_code(1), by_code(0)]) == {1: 1}
    assert score_distribution(THREE, [by_code(1), missing, by_code(1)]) == {0.333333333: 1}
    assert score_distribution(THREE, [missing, missing, by_code(1)]) is None


def test_what_was_left_out_is_counted() -> None:
    scored = score(THREE, by_code(1), UNASSESSED, FAILED)
    assert (scored.unassessed, scored.failed) == (1, 1)
    assert scored.expectation == 1


def test_many_items_of_odd_points_keep_their_mean() -> None:
    points = [1 + i / 97 + i * i / 1009 for i in range(60)]
    rubric = rubric_of([{"criterion": str(p), "points": p} for p in points])
    chances = [(i % 9 + 1) / 10 for i in range(60)]
    distribution = score_distribution(rubric, [judged(p) for p in chances])
    assert distribution is not None
    assert len(distribution) <= MOST_VALUES
    mean = sum(value * p for value, p in distribution.items())
    expected = sum(p * q for p, q in zip(points, chances, strict=True)) / sum(points)
    assert mean == pytest.approx(expected, abs=1e-6)
    assert sum(distribution.values()) == pytest.approx(1)


def test_two_scores_become_a_preference() -> None:
    one = rubric_of(["a"])
    # a is met with 0.8 and b with 0.5: a alone 0.4, b alone 0.1, both or neither 0.5.
    assert higher(score(one, judged(0.8)), score(one, judged(0.5))) == pytest.approx((0.65, 0.5))
    assert higher(score(one, by_code(1)), score(one, by_code(0))) == (1, 0)
    same = score(THREE, judged(0.8), judged(0.5), judged(0.25))
    assert higher(same, same)[0] == 0.5
    assert higher(same, same)[1] == pytest.approx(0.3**2 + 0.3**2 + 0.1**2 + 0.175**2 + 0.125**2)
    other = score(THREE, judged(0.2), judged(0.7), judged(0.4))
    assert higher(same, other)[0] + higher(other, same)[0] == pytest.approx(1)
