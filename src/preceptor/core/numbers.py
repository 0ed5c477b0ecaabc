"""Numbers as people read them: one way for terminals, reports, figures, cards and sentences. None reads "none"."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

NONE = "none"
_SPACE = "\u00a0"  # keeps a sign and its number on one line


class Interval(Protocol):
    """A number with the ends of its interval, which are None if it has no interval."""

    @property
    def value(self) -> float:
        """The number itself."""
        ...

    @property
    def low(self) -> float | None:
        """The lower end."""
        ...

    @property
    def high(self) -> float | None:
        """The upper end."""
        ...


@dataclass(frozen=True)
class _Read:
    """An interval that was read from JSON."""

    value: float
    low: float | None
    high: float | None


def as_interval(value: Interval | Mapping[str, Any]) -> Interval:
    """The interval itself, or one made from a JSON object."""
    return _Read(value["value"], value["low"], value["high"]) if isinstance(value, Mapping) else value


def number(value: float | None, digits: int = 2, signed: bool = False) -> str:
    """A plain number; thousands are separated where no decimal is shown.

    Examples:
        >>> number(0.524), number(0.524, signed=True), number(1234, 0), number(-0.001), number(None)
        ('0.52', '+0.52', '1,234', '0.00', 'none')
    """
    if value is None:
        return NONE
    shown = f"{value:{'+' if signed else ''}{'' if digits else ','}.{digits}f}"
    return shown.lstrip("+-") if float(shown.replace(",", "")) == 0 else shown  # no "-0.00"


def interval(low: float | None, high: float | None, digits: int = 2, signed: bool = False) -> str:
    """`[0.40, 0.63]`, or nothing where there is no interval."""
    return "" if low is None or high is None else f"[{number(low, digits, signed)}, {number(high, digits, signed)}]"


def estimate(e: Interval | Mapping[str, Any] | None, digits: int = 2, signed: bool = False) -> str:
    """A number with its interval.

    Examples:
        >>> estimate({"value": 0.521, "low": 0.4, "high": 0.63})
        '0.52 [0.40, 0.63]'
    """
    if e is None:
        return NONE
    known = as_interval(e)
    return f"{number(known.value, digits, signed)} {interval(known.low, known.high, digits, signed)}".rstrip()


def percent(value: float | None, digits: int = 0) -> str:
    """A share in per cent.

    Examples:
        >>> percent(0.64), percent(0.024, 1)
        ('64%', '2.4%')
    """
    return NONE if value is None else f"{points(value, digits)}%"


def points(value: float | None, digits: int = 0, signed: bool = False) -> str:
    """A share, or a difference of two, in percentage points: `64`, for columns and sentences that name the unit."""
    return number(None if value is None else 100 * value, digits, signed)


def points_interval(low: float | None, high: float | None, digits: int = 0, signed: bool = False) -> str:
    """`[58, 70]` in percentage points, or nothing where there is no interval."""
    return "" if low is None or high is None else interval(100 * low, 100 * high, digits, signed)


def share_parts(e: Interval) -> tuple[str, str]:
    """`64%` and `[58, 70]`; with one decimal where an end that is not 50 would read 50."""
    near_half = any(end is not None and end != 0.5 and round(100 * end) == 50 for end in (e.low, e.high))
    return percent(e.value, int(near_half)), points_interval(e.low, e.high, int(near_half))


def share(e: Interval | None) -> str:
    """A share with its interval: `64% [58, 70]`."""
    return NONE if e is None else " ".join(share_parts(e)).rstrip()


def p_value(p: float | None) -> str:
    """`0.032`, or `< 0.001`, for columns."""
    return NONE if p is None else f"<{_SPACE}0.001" if p < 0.001 else f"{p:.3f}"


def p_equals(p: float | None) -> str:
    """`p = 0.032`, or `p < 0.001`, for sentences."""
    shown = p_value(p)
    return f"p{_SPACE}{shown}" if shown.startswith("<") else f"p{_SPACE}={_SPACE}{shown}"


def dollars(value: float | None, digits: int = 2) -> str:
    """`$1,234.50`."""
    return NONE if value is None else f"${value:,.{digits}f}"


def listed(names: Sequence[str]) -> str:
    """`one, another and a third`."""
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"


def for_templates() -> dict[str, Callable[..., object]]:
    """The functions of this module that templates call, by name."""
    plain = (number, interval, estimate, dollars, listed)
    shares = (percent, points, points_interval, share, share_parts, p_value, p_equals)
    return {function.__name__: function for function in (*plain, *shares)}
