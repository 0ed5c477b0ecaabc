"""Figures as inline SVG in the page's colours: text and axes use `currentColor`, everything else uses colours of the
style sheet, which has other values for a dark page.

A figure is `WIDTH` inches wide, so that two fit side by side on a desktop screen and one is legible on a phone.
"""

import hashlib
import io
import re
import textwrap
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import matplotlib

matplotlib.use("svg")

from markupsafe import Markup, escape
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from preceptor.core.numbers import Interval, percent
from preceptor.core.text import printable

_INK = "#010203"  # stands for the page's text colour until the SVG is written
GREY, GREEN, RED, OCHRE, BLUE = "#8a94a6", "#0f8b6d", "#c4553b", "#b07b19", "#5b6fc4"
SERIES = (BLUE, OCHRE, "#8e4a9e", "#2a93c9", "#77803a", "#c0567f")
"""Colours of the series, with `MARKERS` for readers who cannot tell the colours apart. Green and red are not among
them: they mean better and worse."""
MARKERS = "osD^vPX*"
_VARIABLES = {colour: f"var(--figure-{i})" for i, colour in enumerate((GREY, GREEN, RED, *SERIES))}
WIDTH = 4.8
_LINE = 0.15  # inches between the series of one row
_LABEL = 24  # characters of a row's name on one line
STYLE: Any = {
    "svg.fonttype": "none",
    "svg.hashsalt": "preceptor",
    "font.family": "sans-serif",
    "font.size": 10,
    "text.parse_math": False,  # a cohort may have a dollar in its name
    "text.color": _INK,
    "axes.edgecolor": _INK,
    "axes.labelcolor": _INK,
    "axes.titlecolor": _INK,
    "xtick.color": _INK,
    "ytick.color": _INK,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.linewidth": 0.6,
    "axes.titlesize": 11,
    "axes.titlelocation": "left",
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": _INK,
    "grid.alpha": 0.12,
    "grid.linewidth": 0.6,
    "legend.frameon": False,
    "legend.fontsize": 9,
    "figure.facecolor": "none",
    "axes.facecolor": "none",
    "savefig.facecolor": "none",
}


@dataclass(frozen=True)
class Series:
    """One estimate for each row of a forest plot, drawn in one style."""

    label: str
    colour: str
    points: Sequence[Interval | None]
    """By row; None if a row has no estimate."""
    marker: str = "o"


def forest(
    rows: Sequence[str],
    series: Sequence[Series],
    *,
    title: str,
    description: str,
    at: float | None = None,
    percent: bool = False,
    overlaid: bool = False,
) -> Markup:
    """A forest plot: estimates with their 95% intervals, one row for each name and one colour for each series.

    Args:
        description: for readers who cannot see the figure: what it shows, with its main numbers.
        at: where to draw the line of no difference.
        percent: whether the values are shares.
        overlaid: whether all series share one line per row, because each row has a point in only one of them.
    """
    with rc_context(STYLE):
        drawn = [one for one in series if any(point is not None for point in one.points)]
        lines = 1 if overlaid else max(1, len(drawn))
        row = max(0.38, _LINE * lines + 0.14)  # inches
        height = 0.75 + (0.22 if len(drawn) > 1 else 0) + len(rows) * row
        figure = Figure(figsize=(WIDTH, height), layout="constrained")
        axes = figure.subplots()
        if at is not None:
            axes.axvline(at, color=RED, linewidth=1, linestyle=":")
        for number, one in enumerate(drawn):
            row_points(axes, one, 0.0 if overlaid else _LINE * (number - (lines - 1) / 2) / row)
        for edge in range(1, len(rows)):
            axes.axhline(edge - 0.5, color=_INK, alpha=0.12, linewidth=0.6)
        axes.set_yticks(range(len(rows)), [wrapped(row) for row in rows])
        axes.set_ylim(len(rows) - 0.5, -0.5)
        axes.grid(visible=False, axis="y")
        axes.tick_params(axis="y", length=0)
        if percent:
            axes.xaxis.set_major_formatter(as_percent)
        axes.locator_params(axis="x", nbins=6)
        axes.set_title(title)
        if len(drawn) > 1:
            figure.legend(loc="outside lower center", ncols=3 if len(drawn) == 3 else 2)
        return to_svg(figure, description)


def row_points(axes: Axes, series: Series, shift: float) -> None:
    """Draws points with their intervals, `shift` rows below the middle of each row."""
    known = [(i + shift, point) for i, point in enumerate(series.points) if point is not None]
    axes.errorbar(
        [point.value for _, point in known], [y for y, _ in known], xerr=reach([point for _, point in known]),
        fmt=series.marker, markersize=5.5, color=series.colour, elinewidth=1.8, label=series.label,
    )  # fmt: skip


def as_percent(value: float, _position: float = 0) -> str:
    """A share on an axis."""
    return percent(value)


def whole_steps(axes: Axes) -> None:
    """Ticks of an axis of training steps at whole numbers only."""
    axes.xaxis.set_major_locator(MaxNLocator(nbins=8, integer=True, min_n_ticks=1))


def wrapped(label: str, width: int = _LABEL, lines: int = 2) -> str:
    """A name or title for a figure on a few short lines, broken between its parts if it has several."""
    text = " ".join(label.split())
    parts = text.split(" · ") if lines > 1 and len(text) > width else [text]
    broken = [line for part in parts for line in textwrap.wrap(part, width, break_long_words=True)] or [""]
    if len(parts) == lines < len(broken):
        broken = [part if len(part) <= width else f"{part[: width - 1]}…" for part in parts]
    shown = "\n".join(broken if len(broken) <= lines else [*broken[: lines - 1], f"{broken[lines - 1][: width - 1]}…"])
    return f"\u00a0{shown}" if shown.startswith("_") else shown  # a legend omits names that begin with an underscore


def reach(estimates: Sequence[Interval]) -> list[list[float]]:
    """Distances from values to the ends of their intervals, as matplotlib takes them; 0 without an interval."""
    below = [max(0.0, e.value - e.low) if e.low is not None else 0.0 for e in estimates]
    above = [max(0.0, e.high - e.value) if e.high is not None else 0.0 for e in estimates]
    return [below, above]


def to_svg(figure: Figure, description: str) -> Markup:
    """The figure as an SVG element, with a text for readers who cannot see it.

    Parts that a page does not need are removed, and ids are made unique, since a page holds several figures.
    """
    stream = io.StringIO()
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph")  # the browser has the glyph; matplotlib only measures it
        figure.savefig(stream, format="svg", metadata={"Date": None, "Creator": None, "Format": None, "Type": None})
    svg = stream.getvalue()
    svg = re.sub(
        r"<metadata>.*?</metadata>|<style.*?</style>|font-family: [^;\"]*;? ?", "", svg[svg.index("<svg") :], flags=re.S
    )
    svg = (
        svg.replace(_INK, "currentColor")
        .replace("xlink:href", "href")
        .replace(' xmlns:xlink="http://www.w3.org/1999/xlink"', "")
    )
    for colour, variable in _VARIABLES.items():
        svg = svg.replace(colour, variable)
    own = hashlib.sha256(svg.encode()).hexdigest()[:6]
    used = set(re.findall(r'(?:url\(|href=")#(\w+)', svg))
    svg = re.sub(r' id="([^"]*)"', lambda m: f' id="{own}-{m[1]}"' if m[1] in used else "", svg)
    svg = re.sub(r'(url\(|href=")#(\w+)', rf"\1#{own}-\2", svg)
    return Markup(printable(svg.replace("<svg", f'<svg role="img" aria-label="{escape(description)}"', 1)))
