"""What a verdict pays: by itself, and only where the judge is right in both orders."""

from statistics import fmean
from typing import Any

from preceptor.judging.verdict_reward import agrees, consistent

RIGHT = ["1", "1", "2", "2"]
"""Two completions for each order of one comparison."""
CHOICES = [["1", "2"]] * 4
ONE = ["c"] * 4


def saying(*answers: str) -> list[Any]:
    return [[{"role": "assistant", "content": f"Well. Preferred response: {answer}"}] for answer in answers]


def test_a_judge_that_keeps_to_a_position_is_right_half_of_the_time_and_never_consistent() -> None:
    first = saying("1", "1", "1", "1")
    assert fmean(float(each or 0) for each in agrees(first, RIGHT, CHOICES)) == 0.5
    assert consistent(first, RIGHT, CHOICES, ONE) == [0.0] * 4


def test_a_right_judge_is_paid_in_full_and_a_wavering_one_by_its_answers_in_the_other_order() -> None:
    assert consistent(saying("1", "1", "2", "2"), RIGHT, CHOICES, ONE) == [1.0] * 4
    assert consistent(saying("1", "2", "2", "2"), RIGHT, CHOICES, ONE) == [1.0, 0.0, 0.5, 0.5]


def test_without_the_other_order_there_is_no_reward() -> None:
    said = saying("1", "1", "2", "2")
    assert consistent(said[:2], RIGHT[:2], CHOICES[:2], ONE[:2]) == [None, None]
    assert consistent(said, RIGHT, CHOICES, ["c", "c", "d", None]) == [None] * 4
    assert consistent(said, [None, "1", "2", "2"], CHOICES, ONE) == [None, 1.0, 1.0, 1.0]
