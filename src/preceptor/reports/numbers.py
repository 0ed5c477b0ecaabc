"""Numbers as reports write them, one way for pages, Markdown, sentences and figures. What is not known is "none"."""

from typing import Any, TypeAlias

from preceptor.evaluation.agreement import Share
from preceptor.evaluation.intervals import Estimate

Interval: TypeAlias = Estimate | Share
"""A number with the ends of its interval, where it has one."""
NONE = "none"
_SPACE = "\u00a0"  # keeps a number and its sign on one line


def number(value: float | None, digits: int = 2, signed: bool = False) -> str:
    """A plain number; thousands are marked off where no place after the point is shown."""
    if value is None:
        return NONE
    shown = f"{value:{'+' if signed else ''}{'' if digits else ','}.{digits}f}"
    return shown.lstrip("+-") if float(shown.replace(",", "")) == 0 else shown  # no "-0.00"


def interval(low: float | None, high: float | None, digits: int = 2, signed: bool = False) -> str:
    """`[0.40, 0.63]`, or nothing where there is no interval."""
    return "" if low is None or high is None else f"[{number(low, digits, signed)}, {number(high, digits, signed)}]"


def as_interval(value: Interval | dict[str, Any]) -> Interval:
    """An estimate, from JSON where it was read from there."""
    return Estimate.model_validate(value) if isinstance(value, dict) else value


def estimate(e: Interval | dict[str, Any] | None, digits: int = 2, signed: bool = False) -> str:
    """`0.52 [0.40, 0.63]`."""
    if e is None:
        return NONE
    known = as_interval(e)
    return f"{number(known.value, digits, signed)} {interval(known.low, known.high, digits, signed)}".rstrip()


def percent(value: float | None, digits: int = 0) -> str:
    """`64 %`."""
    return NONE if value is None else f"{number(100 * value, digits)}{_SPACE}%"


def share_parts(e: Interval) -> tuple[str, str]:
    """`64 %` and `[58, 70]`; with a place more where an end would read 50 and is not."""
    near_half = any(end is not None and end != 0.5 and round(100 * end) == 50 for end in (e.low, e.high))
    digits, (low, high) = int(near_half), (None if end is None else 100 * end for end in (e.low, e.high))
    return percent(e.value, digits), interval(low, high, digits)


def share(e: Interval | None) -> str:
    """`64 % [58, 70]`."""
    return NONE if e is None else " ".join(share_parts(e)).rstrip()


def p_value(p: float | None) -> str:
    """`0.032`, or `< 0.001`."""
    return NONE if p is None else f"<{_SPACE}0.001" if p < 0.001 else f"{p:.3f}"


def listed(names: list[str]) -> str:
    """`one, another and a third`."""
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"


def dollars(value: float | None) -> str:
    """`$1,234.50`."""
    return NONE if value is None else f"${value:,.2f}"
