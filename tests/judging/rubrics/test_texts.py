"""Counts and numbers in texts, counted by hand."""

import pytest

from preceptor.judging.rubrics.texts import count_sentences, count_words, last_number


@pytest.mark.parametrize(
    ("text", "count"),
    [
        ("", 0),
        ("One.", 1),
        ("no stop", 1),
        ("One. Two! Three?", 3),
        ("Wait... what?!", 2),
        ('He said "Go." Then he left.', 2),
        ("It costs 3.50 in the U.S. market, e.g. there.", 1),
        ("Title\n\nA paragraph\nwrapped here.", 2),
        ("Steps:\n1. Mix it.\n2. Bake it\n- and eat", 4),
        ("# Heading\n* * *", 1),
        ("你好。再见！", 2),
    ],
)
def test_sentences(text: str, count: int) -> None:
    assert count_sentences(text) == count


def test_words() -> None:
    assert [count_words(text) for text in ("", " - ", "a b", "don't stop-me", "3 × 4 = 12")] == [0, 0, 2, 2, 3]


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("", None),
        ("none here", None),
        ("42.", 42),
        ("-3", -3),
        ("−3", -3),
        ("from 3-5", 5),
        ("10 (-2)", -2),
        ("$1,234,567.89", 1234567.89),
        (".5 or 0.25", 0.25),
        ("1e-3", 0.001),
        ("3/4", 0.75),
        ("1/0", None),
        ("9 on the 22nd", 9),
        ("5kg", 5),
        ("H2O and v1.2.3", None),
        (r"so \boxed{12} in 3 steps", 12),
        (r"\boxed{1} and \boxed{\frac{-3}{4}}", -0.75),
        (r"\boxed{\text{twelve}} 13", None),
        ("9" * 400, None),
        ("1e999", None),
    ],
)
def test_the_last_number(text: str, number: float | None) -> None:
    assert last_number(text) == number
