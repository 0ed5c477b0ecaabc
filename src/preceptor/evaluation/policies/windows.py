"""The share of failures over time: production prompts in windows of a day, a week or a month."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Literal

from statsmodels.stats.proportion import proportions_ztest

from preceptor.core.types import Frozen
from preceptor.evaluation.intervals import Estimate
from preceptor.evaluation.judges.agreement import share_by_prompt
from preceptor.evaluation.signs import ALPHA, holm

Length = Literal["day", "week", "month"]
_LEAST_EXPECTED = 5
"""Least expected number of failing prompts, and of others, for the normal approximation (Cochran 1954)."""


@dataclass(frozen=True)
class TimedOutcome:
    """Whether one response to a prompt failed."""

    cohort: str
    time: str
    """When the prompt was asked: ISO 8601, in UTC unless it names a time zone."""
    failed: bool
    prompt_id: str


class Window(Frozen):
    """A day, a week beginning on Monday, or a month, in UTC."""

    start: date
    failing: Estimate
    """Share of rows that failed, with its interval over prompts."""
    prompts: int


class FailTrend(Frozen):
    """The windows of a cohort, and whether the last is worse than those before."""

    cohort: str | None
    """None for all cohorts together."""
    windows: tuple[Window, ...]
    """In order of time; windows without rows are left out."""
    change: float | None
    """Share of failures in the last window minus that in all earlier ones; None for a single window."""
    p_value: float | None
    """One-sided: the probability of such a rise if nothing changed. A test of two proportions with pooled variance; its
    trials are prompts, since samples of one prompt are not independent. None if there is too little data."""
    p_holm: float | None
    """After Holm's correction over all trends that were tested together."""
    worse: bool | None
    """Whether p_holm is below 0.05. None if there is too little data; False does not mean that nothing changed."""


def fail_trends(rows: Sequence[TimedOutcome], length: Length) -> tuple[FailTrend, ...]:
    """The trend of all cohorts together, then of each cohort if there are several.

    Raises: ValueError for a time that is not ISO 8601.
    """
    cohorts = tuple(dict.fromkeys(row.cohort for row in rows))
    parts = (None, *cohorts) if len(cohorts) > 1 else (None,) if cohorts else ()
    trends = [_trend(part, [row for row in rows if part in (None, row.cohort)], length) for part in parts]
    corrected = holm([trend.p_value for trend in trends])
    return tuple(trend if p is None else _decided(trend, p) for trend, p in zip(trends, corrected, strict=True))


def fitting_length(times: Sequence[str]) -> Length:
    """The window length that gives a readable number of windows: days up to two weeks, weeks up to a quarter.

    Raises: ValueError for a time that is not ISO 8601.
    """
    days = sorted(window_start(time, "day") for time in times)
    span = (days[-1] - days[0]).days if days else 0
    return "day" if span <= 14 else "week" if span <= 92 else "month"


def _decided(trend: FailTrend, p_holm: float) -> FailTrend:
    return trend.model_copy(update={"p_holm": p_holm, "worse": p_holm < ALPHA})


def _trend(cohort: str | None, rows: Sequence[TimedOutcome], length: Length) -> FailTrend:
    by_start: defaultdict[date, list[tuple[str, float]]] = defaultdict(list)
    for row in rows:
        by_start[window_start(row.time, length)].append((row.prompt_id, float(row.failed)))
    starts = sorted(by_start)
    windows = tuple(
        Window(start=start, failing=share, prompts=_prompts(by_start[start]))
        for start in starts
        if (share := share_by_prompt(by_start[start])) is not None
    )
    before, last = [value for start in starts[:-1] for value in by_start[start]], by_start[starts[-1]]
    change = _mean(last) - _mean(before) if before else None
    p_value = p_of_rise(before, last) if before else None
    return FailTrend(cohort=cohort, windows=windows, change=change, p_value=p_value, p_holm=None, worse=None)


def in_utc(time: str) -> datetime:
    """A time that was read, in UTC unless it names a time zone.

    Raises: ValueError for a time that is not ISO 8601.
    """
    moment = datetime.fromisoformat(time)
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)


def window_start(time: str, length: Length) -> date:
    """The first day of the window that a time falls in, in UTC.

    Raises: ValueError for a time that is not ISO 8601.
    """
    day = in_utc(time).date()
    if length == "week":
        return day - timedelta(days=day.weekday())
    return day if length == "day" else day.replace(day=1)


def p_of_rise(before: Sequence[tuple[str, float]], after: Sequence[tuple[str, float]]) -> float | None:
    """The one-sided p-value of a rise between two sets of rows: a test of two proportions with pooled variance. The
    rows of each side count as one trial per prompt.

    Args:
        before: (prompt id, 1 if it failed, else 0) of each row.
        after: the same, of the rows in which a rise is looked for.

    Returns: None if there is too little data for the test.
    """
    trials = [_prompts(after), _prompts(before)]
    if not all(trials):
        return None
    failed = [_mean(after) * trials[0], _mean(before) * trials[1]]
    pooled = sum(failed) / sum(trials)
    if min(trials) * min(pooled, 1 - pooled) < _LEAST_EXPECTED:
        return None
    return float(proportions_ztest(failed, trials, alternative="larger")[1])


def _prompts(values: Sequence[tuple[str, float]]) -> int:
    return len({prompt for prompt, _ in values})


def _mean(values: Sequence[tuple[str, float]]) -> float:
    return sum(value for _, value in values) / len(values)
