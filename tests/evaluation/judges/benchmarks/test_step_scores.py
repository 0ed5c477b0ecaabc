"""Step judges on solutions small enough to work out by hand."""

import pytest

from preceptor.evaluation.judges.benchmarks.steps import JudgedSolution, StepJudgeScores, score_steps


def scored(solutions: list[JudgedSolution]) -> StepJudgeScores:
    return score_steps("m", "c 1", solutions)


def value(scores: StepJudgeScores, name: str) -> float:
    estimate = scores[name].estimate
    assert estimate is not None
    return estimate.value


SOLUTIONS = [
    JudgedSolution("1", "math", 1, [8.0, 3.0, 2.0]),  # found
    JudgedSolution("2", "math", 2, [4.0, 8.0, 6.0]),  # an earlier step is blamed
    JudgedSolution("3", "math", 0, [7.0]),  # missed
    JudgedSolution("4", "math", -1, [5.0, 9.0]),  # passed: 5 does no harm
    JudgedSolution("5", "math", -1, [9.0, 4.9]),  # blamed
]


def test_f1_is_the_harmonic_mean_of_errors_found_and_solutions_passed() -> None:
    scores = scored(SOLUTIONS)
    assert value(scores, "math, first error found") == pytest.approx(1 / 3)
    assert value(scores, "math, right ones passed") == 1 / 2
    assert value(scores, "F1") == pytest.approx(2 * (1 / 3) * (1 / 2) / (1 / 3 + 1 / 2))
    assert (scores.solutions, scores.steps, scores.failed) == (5, 11, 0)
    assert scores["F1"].as_published is None
    # Solution 1: 8 above 3. Solution 2: of 4 and 8, one is above 6. Solution 3 has no right step before.
    assert value(scores, "right steps score above the first wrong one") == pytest.approx((1 + 1 / 2) / 2)


def test_a_failed_step_makes_no_number_and_the_authors_count_it_as_wrong() -> None:
    scores = scored([*SOLUTIONS, JudgedSolution("6", "math", 1, [8.0, None])])
    assert value(scores, "F1") == value(scored(SOLUTIONS), "F1")
    assert scores["F1"].failed == scores.failed == 1
    assert scores["F1"].as_published == pytest.approx(2 * (1 / 4) * (1 / 2) / (1 / 4 + 1 / 2))


def test_subsets_count_alike() -> None:
    other = [JudgedSolution("7", "gsm8k", 0, [2.0]), JudgedSolution("8", "gsm8k", -1, [9.0])]
    scores = scored([*SOLUTIONS, *other])
    assert value(scores, "gsm8k, F1") == 1.0
    assert value(scores, "F1") == pytest.approx((1.0 + value(scores, "math, F1")) / 2)


def test_there_is_no_f1_without_solutions_of_both_kinds_and_it_is_0_where_nothing_is_found() -> None:
    assert scored(SOLUTIONS[:3])["F1"].estimate is None
    assert value(scored([SOLUTIONS[2], SOLUTIONS[4]]), "F1") == 0.0


def test_the_interval_is_the_jackknifes_over_problems() -> None:
    many = [
        JudgedSolution(f"{kind}{i}", "math", 0 if kind == "w" else -1, [2.0 if i % 3 else 8.0])
        for kind in ("w", "r")
        for i in range(30)
    ]
    estimate = scored(many)["F1"].estimate
    assert estimate is not None
    assert estimate.low is not None
    assert estimate.high is not None
    found, passed = 20 / 30, 10 / 30
    assert estimate.value == pytest.approx(2 * found * passed / (found + passed))
    # By hand: the variance of the harmonic mean from those of both shares.
    slopes = [2 * other**2 / (found + passed) ** 2 for other in (passed, found)]
    error = sum(s**2 * p * (1 - p) / 30 for s, p in zip(slopes, (found, passed), strict=True)) ** 0.5
    assert (estimate.high - estimate.low) / 2 == pytest.approx(2.0 * error, rel=0.06)
