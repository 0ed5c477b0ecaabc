"""Figures that pages draw while somebody waits, in the style of the reports. matplotlib serves one thread at a time."""

from collections.abc import Sequence
from dataclasses import dataclass
from threading import Lock
from typing import TYPE_CHECKING

from markupsafe import Markup

from preceptor.core.numbers import Interval

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_DRAWING = Lock()
_LONGEST_LABEL = 34
_LONGEST_EVENT = 24
_ROOM = 1.35
"""How much higher a figure is if names of events stand in it."""


@dataclass(frozen=True)
class Point:
    """A value over a place on the x-axis, with its 95% interval where there is one."""

    x: float
    value: float
    low: float | None = None
    high: float | None = None

    @classmethod
    def of(cls, x: float, interval: Interval) -> "Point":
        """The point of an estimate."""
        return cls(x, interval.value, interval.low, interval.high)


@dataclass(frozen=True)
class Curve:
    """Points that are joined by a line. Measurements have markers; what is known at every step has none."""

    label: str
    points: Sequence[Point]
    measured: bool = True
    """Whether the points are few and have intervals."""
    muted: bool = False
    """Whether the curve is drawn in grey, behind the others."""


@dataclass(frozen=True)
class Event:
    """Something that happened at a place on the x-axis: a vertical line with a name."""

    x: float
    name: str


def curves(
    title: str,
    drawn: Sequence[Curve],
    *,
    x_label: str,
    bound: float | None = None,
    x_names: Sequence[str] = (),
    events: Sequence[Event] = (),
    shares: bool = False,
) -> Markup:
    """Curves over training steps, or over named places such as weeks, as SVG.

    Args:
        bound: a dashed horizontal line that values should stay below.
        x_names: names of the places 0, 1, 2, ... on the x-axis; whole numbers without them.
        events: what happened when, such as a new model.
        shares: whether the values are shares, which the y-axis shows in per cent, from 0 on.
    """
    with _DRAWING:
        return _curves(title, drawn, x_label, bound, x_names, events, shares)


def _curves(
    title: str,
    drawn: Sequence[Curve],
    x_label: str,
    bound: float | None,
    x_names: Sequence[str],
    events: Sequence[Event],
    shares: bool,
) -> Markup:
    from matplotlib import rc_context
    from matplotlib.figure import Figure
    from matplotlib.ticker import MaxNLocator

    from preceptor.reports import figures as draw

    with rc_context(draw.STYLE):
        figure = Figure(figsize=(draw.WIDTH, 2.9), layout="constrained")
        axes = figure.subplots()
        colours = iter(draw.SERIES * (1 + len(drawn) // len(draw.SERIES)))
        for number, curve in enumerate(drawn):
            colour = draw.GREY if curve.muted else next(colours)
            _draw_curve(axes, curve, colour, draw.MARKERS[number % len(draw.MARKERS)])
        if bound is not None:
            axes.axhline(bound, color=draw.RED, linewidth=1, linestyle="--", label="bound")
        for event in events:
            _draw_event(axes, event)
        if shares:
            axes.yaxis.set_major_formatter(draw.as_percent)
            axes.set_ylim(0, axes.get_ylim()[1] * (_ROOM if events else 1))
        if x_names:
            axes.set_xticks(range(len(x_names)), [draw.wrapped(name, 10) for name in x_names])
        else:
            axes.xaxis.set_major_locator(MaxNLocator(integer=True, nbins=8))
        axes.set_title(title)
        axes.set_xlabel(x_label)
        if len(axes.get_legend_handles_labels()[1]) > 1:
            figure.legend(loc="outside lower center", ncols=2)
        return draw.to_svg(figure, f"{title}: {_told(drawn)}")


def _draw_curve(axes: "Axes", curve: Curve, colour: str, marker: str) -> None:
    from preceptor.reports import figures as draw

    label = draw.wrapped(curve.label, _LONGEST_LABEL, 1)
    xs, values = [point.x for point in curve.points], [point.value for point in curve.points]
    if curve.measured:
        axes.errorbar(
            xs, values, yerr=draw.reach(curve.points), fmt=f"{marker}-", markersize=4.5, color=colour, linewidth=1.4,
            elinewidth=1.4, label=label,
        )  # fmt: skip
    else:
        axes.plot(xs, values, color=colour, linewidth=1.2, label=label)


def _draw_event(axes: "Axes", event: Event) -> None:
    from preceptor.reports import figures as draw

    axes.axvline(event.x, color=draw.GREY, linewidth=1, linestyle=":")
    axes.annotate(
        draw.wrapped(event.name, _LONGEST_EVENT, 1), (event.x, 1), xycoords=("data", "axes fraction"),
        xytext=(3, -2), textcoords="offset points", rotation=90, va="top", fontsize=8, color=draw.GREY,
    )  # fmt: skip


def _told(drawn: Sequence[Curve]) -> str:
    """The last value of each curve, for readers who cannot see the figure."""
    ends = [f"{curve.label} {curve.points[-1].value:.3g}" for curve in drawn if curve.points]
    return "; ".join(ends) or "no values yet"
