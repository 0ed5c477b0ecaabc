"""Values in the columns of a row, each checked, with an error that says what was expected."""

from typing import Any

from preceptor.core.types import LEAST_WEIGHT, MOST_WEIGHT
from preceptor.store.rows import Row


class WrongRowError(ValueError):
    """What is wrong with a row, and what was expected, on one line."""


def weight_of(row: Row) -> float:
    """The row's weight in training; 1 if it has none. Raises: WrongRowError."""
    value: Any = row.get("weight", 1.0)
    if isinstance(value, bool) or not isinstance(value, int | float) or not LEAST_WEIGHT <= value <= MOST_WEIGHT:
        raise WrongRowError(
            f"weight: expected a number above 0, from {LEAST_WEIGHT:g} to {MOST_WEIGHT:g}, got {str(value)[:40]}"
        )
    return float(value)


def flag_in(row: Row, name: str) -> bool:
    """True or false; true if the row says nothing. Raises: WrongRowError."""
    value: Any = row.get(name, True)
    if not isinstance(value, bool):
        raise WrongRowError(f"{name}: expected true or false, got {kind_of(value)}")
    return value


def probability_in(row: Row, name: str) -> float:
    """A probability. Raises: WrongRowError."""
    value = row[name]
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0.0 <= value <= 1.0:
        opinions = '"a", "b", "tie" or ' if name == "label" else ""
        raise WrongRowError(f"{name}: expected {opinions}a probability in [0, 1], got {str(value)[:40]!r}")
    return float(value)


def number_in(row: Row, name: str, expected: str) -> float:
    """A finite number in a column. Raises: WrongRowError that says what was expected."""
    value: Any = row[name]
    if isinstance(value, bool) or not isinstance(value, int | float) or not abs(value) < float("inf"):
        raise WrongRowError(f"{name}: expected {expected}, got {str(value)[:40]!r}")
    return float(value)


def text_in(row: Row, name: str) -> str | None:
    """A text or a whole number as text; None if the row has none. Raises: WrongRowError."""
    value = row.get(name)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, str | int) or not str(value):
        raise WrongRowError(f"{name}: expected a text or a whole number, got {kind_of(value)}")
    return str(value)


def kind_of(value: Any) -> str:
    """What a value is, for messages."""
    return "an empty one" if value in ("", []) else type(value).__name__
