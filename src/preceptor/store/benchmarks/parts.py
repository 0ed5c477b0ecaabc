"""What a row of a benchmark becomes: comparisons, and the place that each has in the benchmark's score."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeAlias

from preceptor.store.columns import WrongRowError
from preceptor.store.rows import Row


@dataclass(frozen=True)
class Part:
    """The place of a comparison in a benchmark's score."""

    item: str
    """The benchmark's own row. Several comparisons of one item have one result together."""
    subset: str
    """The subset by which the authors report."""
    cell: tuple[int, int] = (0, 0)
    """Which of the right responses is compared, and with which of the wrong ones, counted from 0."""
    both_right: bool = False
    """Whether both responses are right, so that neither should win clearly."""


Reading: TypeAlias = Callable[[Row, str], list[tuple[Row, Part]]]
"""From a published row and the name of its file's folder to comparisons in the columns of `store.comparisons`.

Raises WrongRowError where a column is missing or wrong.
"""


def text(row: Row, name: str) -> str:
    """A column that holds a text, or a whole number as text."""
    value: Any = need(row, name)
    if isinstance(value, bool) or not isinstance(value, str | int):
        raise WrongRowError(f"{name}: expected a text, got {type(value).__name__}")
    return str(value)


def texts(row: Row, name: str, least: int = 1) -> list[str]:
    """A column that holds a list of texts."""
    value: Any = need(row, name)
    if not isinstance(value, list) or len(value) < least or not all(isinstance(each, str) for each in value):
        raise WrongRowError(f"{name}: expected a list of {least} or more texts")
    return value


def need(row: Row, name: str) -> Any:
    """A column that every row of the benchmark has."""
    if row.get(name) is None:
        columns = ", ".join(f'"{key}"' for key in list(row)[:12]) or "none"
        raise WrongRowError(f'no "{name}", which this format has; the columns are {columns}')
    return row[name]


def chosen_of(row: Row, name: str, says: dict[Any, str]) -> str:
    """What a column with a verdict means: "a", "b" or "tie"."""
    value: Any = need(row, name)
    if isinstance(value, bool | list | dict) or value not in says:
        expected = ", ".join(repr(each) for each in says)
        raise WrongRowError(f"{name}: expected one of {expected}, got {str(value)[:40]!r}")
    return says[value]
