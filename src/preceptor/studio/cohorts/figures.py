"""The figure of failures over time: all cohorts together and the largest by themselves, with models as they came."""

from collections.abc import Sequence
from datetime import date, timedelta

from markupsafe import Markup

from preceptor.evaluation.intervals import LEAST_FOR_RATE
from preceptor.evaluation.policies.windows import FailTrend, Length, window_start
from preceptor.studio.cohorts.over_time import OverTime
from preceptor.studio.figures import Curve, Event, Point, curves

MOST_COHORTS = 4
"""Cohorts that are drawn, those with the most prompts."""
_MOST_PLACES = 60
"""Windows between the first and the last up to which empty ones keep their place."""
_NAMED = 7
"""Windows that are named on the axis."""


def figure(title: str, shown: OverTime) -> Markup | None:
    """The shares with their intervals by window; None if fewer than two windows have enough prompts."""
    starts = _places({window.start for trend in shown.trends for window in trend.windows}, shown.length)
    place = {start: float(number) for number, start in enumerate(starts)}
    together, *cohorts = shown.trends
    largest = sorted(cohorts, key=lambda trend: -sum(window.prompts for window in trend.windows))[:MOST_COHORTS]
    drawn = [
        Curve(trend.cohort or "all together", points)
        for trend in (together, *largest)
        if (points := _points(trend, place))
    ]
    if not drawn or len(drawn[0].points) < 2:
        return None
    since = {pair.after.model: pair.since for pair in shown.deployments}
    events = [Event(place[window_start(day.isoformat(), shown.length)], model) for model, day in since.items()]
    every = -(-len(starts) // _NAMED)
    names = [f"{start:%Y-%m}" if shown.length == "month" else f"{start:%d %b}" for start in starts]
    named = [name if number % every == 0 else "" for number, name in enumerate(names)]
    label = {"day": "day, UTC", "week": "week from Monday, UTC", "month": "month, UTC"}[shown.length]
    return curves(title, drawn, x_label=label, x_names=named, events=events, shares=True)


def _points(trend: FailTrend, place: dict[date, float]) -> list[Point]:
    return [
        Point.of(place[window.start], window.failing) for window in trend.windows if window.prompts >= LEAST_FOR_RATE
    ]


def _places(starts: set[date], length: Length) -> Sequence[date]:
    """The windows in order of time; also those without rows between them, unless they are too many."""
    held, place = [min(starts)], min(starts)
    while place < max(starts) and len(held) < _MOST_PLACES:
        place = window_start((place + timedelta(days={"day": 1, "week": 7, "month": 32}[length])).isoformat(), length)
        held.append(place)
    return held if place >= max(starts) else sorted(starts)
