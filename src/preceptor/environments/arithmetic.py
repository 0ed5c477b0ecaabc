"""Arithmetic on texts from outside: exact, bounded in length and size, and nothing but arithmetic."""

import ast
import operator
import re
from collections.abc import Callable
from fractions import Fraction

_LONGEST = 200
_LARGEST = 10**30
"""No number on the way has a larger numerator or denominator."""
_LARGEST_EXPONENT = 64
_NOTHING_ELSE = "only numbers, + - * / // % ** and brackets can be calculated"
_SPELLINGS = str.maketrans({"×": "*", "·": "*", "÷": "/", "−": "-", "–": "-", "^": "**", "$": "", "=": " "})
_THOUSANDS = re.compile(r"(?<=\d),(?=\d{3}(?!\d))")
_NUMBER = re.compile(r"(?<![\w.])-?(?:\d{1,3}(?:,\d{3})+|\d+)(?:\.\d+)?(?!\w|\.\d)")
_LITERAL = re.compile(r"\d[\d_]*(?:\.\d*)?|\.\d+")
_OPERATORS: dict[type[ast.operator], Callable[[Fraction, Fraction], Fraction]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.FloorDiv: lambda a, b: Fraction(a // b),
    ast.Mod: operator.mod,
}


def evaluate(expression: str) -> Fraction:
    """The value of an expression of numbers, + - * / // % ** and brackets. `×`, `÷`, `^` and `1,234` are understood.

    Raises: ValueError with one line that says what is wrong.

    Examples:
        >>> evaluate("(1,200 + 34.5) × 2")
        Fraction(2469, 1)
    """
    if len(expression) > _LONGEST:
        raise ValueError(f"the expression is longer than {_LONGEST} characters")
    text = _THOUSANDS.sub("", expression.translate(_SPELLINGS)).strip()
    try:
        return _value(ast.parse(text, mode="eval").body, text)
    except ZeroDivisionError:
        raise ValueError("division by zero") from None
    except (SyntaxError, RecursionError, MemoryError):
        raise ValueError("not an arithmetic expression; expected one such as (12 + 3) * 4") from None


def written(number: Fraction) -> str:
    """A number in decimal digits: whole where it is whole, else with up to ten places.

    Examples:
        >>> written(Fraction(5, 4)), written(Fraction(6)), written(Fraction(1, 3))
        ('1.25', '6', '0.3333333333')
    """
    if number.denominator == 1:
        return str(number.numerator)
    scaled = round(abs(number) * 10**10)
    whole, places = divmod(scaled, 10**10)
    digits = f"{whole}.{places:010}".rstrip("0").rstrip(".")
    return f"-{digits}" if number < 0 and scaled else digits


def last_number(text: str) -> Fraction | None:
    """The last number in a text, written as 1234, 1,234, 1234.0 or $1,234; None where there is none.

    Examples:
        >>> last_number("7 lamps cost **$1,234.50**.")
        Fraction(2469, 2)
    """
    found = [match[0] for match in _NUMBER.finditer(text[-2000:])]
    return Fraction(found[-1].replace(",", "")) if found and len(found[-1]) <= 40 else None


def _value(node: ast.expr, text: str) -> Fraction:
    if isinstance(node, ast.Constant):
        return _literal(ast.get_source_segment(text, node) or "")
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.UAdd | ast.USub):
        value = _value(node.operand, text)
        return -value if isinstance(node.op, ast.USub) else value
    if isinstance(node, ast.BinOp):
        left, right = _value(node.left, text), _value(node.right, text)
        if isinstance(node.op, ast.Pow):
            return _power(left, right)
        if type(node.op) in _OPERATORS:
            return _bounded(_OPERATORS[type(node.op)](left, right))
    raise ValueError(_NOTHING_ELSE)


def _literal(written: str) -> Fraction:
    if not _LITERAL.fullmatch(written):  # such as 1e999999999, which would take years
        raise ValueError(_NOTHING_ELSE)
    return _bounded(Fraction(written.replace("_", "")))


def _power(base: Fraction, exponent: Fraction) -> Fraction:
    if exponent.denominator != 1 or abs(exponent) > _LARGEST_EXPONENT:
        raise ValueError(f"an exponent is a whole number of at most {_LARGEST_EXPONENT}")
    result = Fraction(1)
    for _ in range(abs(int(exponent))):
        result = _bounded(result * base)
    return result if exponent >= 0 else 1 / result


def _bounded(number: Fraction) -> Fraction:
    if max(abs(number.numerator), number.denominator) > _LARGEST:
        raise ValueError("a number on the way has more than 30 digits")
    return number
