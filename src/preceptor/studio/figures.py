"""Figures that pages draw while somebody waits, in the style of the reports. matplotlib serves one thread at a time."""

from collections.abc import Sequence
from dataclasses import dataclass
from threading import Lock

from markupsafe import Markup

from preceptor.core.numbers import Interval

_DRAWING = Lock()
_LONGEST_LABEL = 34


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


def curves(
    title: str, drawn: Sequence[Curve], *, x_label: str, bound: float | None = None, x_names: Sequence[str] = ()
) -> Markup:
    """Curves over training steps, or over named places such as weeks, as SVG.

    Args:
        bound: a dashed horizontal line that values should stay below.
        x_names: names of the places 0, 1, 2, ... on the x-axis; whole numbers without them.
    """
    with _DRAWING:
        return _curves(title, drawn, x_label, bound, x_names)


def _curves(title: str, drawn: Sequence[Curve], x_label: str, bound: float | None, x_names: Sequence[str]) -> Markup:
    from matplotlib import rc_context
    from matplotlib.figure import Figure
    from matplotlib.ticker import MaxNLocator

    from preceptor.reports.figures import GREY, MARKERS, RED, SERIES, STYLE, WIDTH, reach, to_svg, wrapped

    with rc_context(STYLE):
        figure = Figure(figsize=(WIDTH, 2.9), layout="constrained")
        axes = figure.subplots()
        colours = iter(SERIES * (1 + len(drawn) // len(SERIES)))
        for number, curve in enumerate(drawn):
            colour = GREY if curve.muted else next(colours)
            label = wrapped(curve.label, _LONGEST_LABEL, 1)
            xs, values = [point.x for point in curve.points], [point.value for point in curve.points]
            if curve.measured:
                axes.errorbar(
                    xs, values, yerr=reach(curve.points), fmt=f"{MARKERS[number % len(MARKERS)]}-", markersize=4.5,
                    color=colour, linewidth=1.4, elinewidth=1.4, label=label,
                )  # fmt: skip
            else:
                axes.plot(xs, values, color=colour, linewidth=1.2, label=label)
        if bound is not None:
            axes.axhline(bound, color=RED, linewidth=1, linestyle="--", label="bound")
        if x_names:
            axes.set_xticks(range(len(x_names)), [wrapped(name, 10) for name in x_names])
        else:
            axes.xaxis.set_major_locator(MaxNLocator(integer=True, nbins=8))
        axes.set_title(title)
        axes.set_xlabel(x_label)
        if len(axes.get_legend_handles_labels()[1]) > 1:
            figure.legend(loc="outside lower center", ncols=2)
        return to_svg(figure, f"{title}: {_told(drawn)}")


def _told(drawn: Sequence[Curve]) -> str:
    """The last value of each curve, for readers who cannot see the figure."""
    ends = [f"{curve.label} {curve.points[-1].value:.3g}" for curve in drawn if curve.points]
    return "; ".join(ends) or "no values yet"
