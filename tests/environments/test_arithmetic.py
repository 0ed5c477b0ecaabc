"""Arithmetic on texts from outside."""

from fractions import Fraction

import pytest

from preceptor.environments.arithmetic import evaluate, last_number, written


@pytest.mark.parametrize(
    ("expression", "value"),
    [
        ("37 + 58", 95),
        ("2 + 3 * 4 - -1", 15),
        ("(1,200 + 34.5) × 2", 2469),
        ("0.1 + 0.2", Fraction(3, 10)),
        ("7 // 2 + 7 % 4", 6),
        ("2^10 ÷ 4", 256),
        ("2 ** -2", Fraction(1, 4)),
        ("$5 − 3 =", 2),
        ("1_000 + .5 + 1.", Fraction(2003, 2)),
    ],
)
def test_values(expression: str, value: int | Fraction):
    assert evaluate(expression) == value


@pytest.mark.parametrize(
    ("expression", "words"),
    [
        ("", "expected"),
        ("two + 2", "only numbers"),
        ("__import__('os')", "only numbers"),
        ("'a' * 9", "only numbers"),
        ("1e999999999", "only numbers"),
        ("0x10", "only numbers"),
        ("1 < 2", "only numbers"),
        ("2 & 3", "only numbers"),
        ("1 / 0", "zero"),
        ("0 ** -1", "zero"),
        ("9 ** 65", "exponent"),
        ("2 ** 0.5", "exponent"),
        ("9 ** 9 ** 9", "exponent"),
        ("(9 ** 30) ** 30", "30 digits"),
        ("9" * 32, "30 digits"),
        ("(" * 150, "expected"),
        ("-" * 190 + "1 +", "expected"),
        ("1\x00", "."),
        ("1 +" * 100, "200 characters"),
    ],
)
def test_what_is_no_arithmetic_is_refused_in_one_line(expression: str, words: str):
    with pytest.raises(ValueError, match=words) as refused:
        evaluate(expression)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    ("number", "text"),
    [
        (Fraction(95), "95"),
        (Fraction(-5, 4), "-1.25"),
        (Fraction(2, 3), "0.6666666667"),
        (Fraction(-1, 10**12), "0"),
        (Fraction(10**20), "1" + "0" * 20),
    ],
)
def test_numbers_are_written_in_digits(number: Fraction, text: str):
    assert written(number) == text


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("1,234", 1234),
        ("1234.0", 1234),
        ("It costs **$1,234.50**.", Fraction(2469, 2)),
        ("37 + 58 = 95", 95),
        ("5-3", 3),
        ("The difference is -7!", -7),
        ("order A1042, version 2.3.4", None),
        ("ninety-five", None),
        ("9" * 50, None),
        ("", None),
    ],
)
def test_the_last_number_of_a_text(text: str, number: int | Fraction | None):
    assert last_number(text) == number
