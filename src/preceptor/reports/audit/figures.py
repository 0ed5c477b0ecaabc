"""Figures of the audit of judges, as inline SVG in the page's colours. Judges stand in the order given."""

from collections.abc import Sequence

from markupsafe import Markup
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from preceptor.evaluation.judges.agreement import ReliabilityBin
from preceptor.evaluation.judges.judge_audit import JudgeAudit
from preceptor.judging.warnings import POSITION_BOUND
from preceptor.reports.figures import (
    BLUE,
    GREY,
    OCHRE,
    RED,
    SERIES,
    STYLE,
    WIDTH,
    Series,
    as_percent,
    row_points,
    to_svg,
)

_LABEL = 34  # characters of a judge's name on one line
_COLUMNS = 3


def alignment(judges: Sequence[JudgeAudit]) -> Markup:
    """Forest plot: alignment with all orders combined and in one order, with intervals, beside the baselines."""
    with rc_context(STYLE):
        figure = Figure(figsize=(9.6, 1.2 + 0.62 * len(judges)), layout="constrained")
        axes = figure.subplots()
        both = [j.alignment for j in judges]
        single = [j.single_order_alignment for j in judges]
        row_points(axes, Series("all orders combined", BLUE, both), -0.14)
        row_points(axes, Series("first order alone", GREY, single), 0.14)
        _marks(axes, [j.longer_baseline for j in judges], OCHRE, "the longer one wins")
        axes.axvline(0.5, color=RED, linewidth=1, linestyle=":", label="chance")
        people = next((j.human_agreement for j in judges if j.human_agreement is not None), None)
        if people is not None:
            axes.axvline(people, color=SERIES[2], linewidth=1.2, linestyle="--", label="two people agree")
        _judges(axes, judges)
        axes.set_title("Share of pairs on which the judge prefers what most people prefer")
        axes.xaxis.set_major_formatter(as_percent)
        axes.legend(loc="upper left", bbox_to_anchor=(1, 1))
        return to_svg(figure, "Alignment of each judge with people, with 95% intervals, beside baselines")


def biases(judges: Sequence[JudgeAudit]) -> Markup:
    """Three panels by judge: same position after a swap, first position, and longer response (beside people's)."""
    with rc_context(STYLE):
        figure = Figure(figsize=(9.6, 0.95 + 0.5 * len(judges)), layout="constrained")
        swapped, first, length = figure.subplots(1, 3, sharey=True)
        _marks(swapped, [j.position_bias for j in judges], BLUE, "", "o")
        swapped.axvline(POSITION_BOUND, color=RED, linewidth=1, linestyle="--")
        swapped.set_title("Same position after a swap")
        _marks(first, [j.first_position_rate for j in judges], BLUE, "", "o")
        first.axvline(0.5, color=RED, linewidth=1, linestyle=":")
        first.set_title("First shown wins")
        _marks(length, [j.longer_preferred_rate for j in judges], BLUE, "judge", "o")
        _marks(length, [j.longer_baseline for j in judges], OCHRE, "people")
        length.set_title("Longer one preferred")
        length.legend(loc="best")
        _judges(swapped, judges)
        for axes in (swapped, first, length):
            axes.set_xlim(-0.04, 1.04)
            axes.xaxis.set_major_formatter(as_percent)
        return to_svg(figure, "Position bias, share of first positions, and share of longer responses, by judge")


def reliability(judges: Sequence[JudgeAudit]) -> Markup:
    """One panel per judge: its confidence against how often it is right, before and after calibration."""
    columns = min(len(judges), _COLUMNS)
    rows = -(-len(judges) // columns)
    with rc_context(STYLE):
        figure = Figure(figsize=(WIDTH if columns == 1 else 2 * WIDTH, 0.3 + 3.1 * rows), layout="constrained")
        panels = list(figure.subplots(rows, columns, squeeze=False, sharex=True, sharey=True).flat)
        for axes, judge in zip(panels, judges, strict=False):
            draw_reliability(axes, judge)
            axes.set_title(short(judge.label), fontsize=9)
            axes.tick_params(labelbottom=True)
        for axes in panels[len(judges) :]:
            axes.set_visible(False)
        first = panels[0]
        first.set_ylabel("share right")
        first.legend(loc="lower right")
        return to_svg(figure, "Reliability: confidence against the share of right preferences, by judge")


def draw_reliability(axes: Axes, judge: JudgeAudit) -> None:
    """One judge's confidence against how often it is right, beside the line on which it should be."""
    axes.plot([0.5, 1], [0.5, 1], color=RED, linewidth=1, linestyle=":")
    _bins(axes, judge.reliability, GREY, "uncalibrated")
    if judge.calibrated is not None:
        _bins(axes, judge.calibrated.reliability, BLUE, "calibrated, out of fold")
    axes.set_xlabel("confidence")
    axes.set_xlim(0.48, 1.02)
    axes.set_ylim(-0.04, 1.04)


def short(label: str) -> str:
    """A judge's name for a figure: one line for each of its parts, with the middle of long ones left out."""
    lines = label.split(" · ")
    keep = (_LABEL - 1) // 2
    return "\n".join(line if len(line) <= _LABEL else f"{line[:keep]}…{line[-keep:]}" for line in lines)


def _judges(axes: Axes, judges: Sequence[JudgeAudit]) -> None:
    axes.set_yticks(range(len(judges)), [short(judge.label) for judge in judges])
    axes.set_ylim(len(judges) - 0.5, -0.5)


def _marks(axes: Axes, values: Sequence[float | None], colour: str, label: str, marker: str = "|") -> None:
    known = [(value, i) for i, value in enumerate(values) if value is not None]
    size, width = (14, 2.2) if marker == "|" else (6.5, 1.0)
    axes.plot(
        [value for value, _ in known], [i for _, i in known],
        linestyle="none", marker=marker, markersize=size, markeredgewidth=width, color=colour, label=label,
    )  # fmt: skip


def _bins(axes: Axes, bins: Sequence[ReliabilityBin], colour: str, label: str) -> None:
    total = sum(group.n for group in bins)
    x, y = [group.confidence for group in bins], [group.correct for group in bins]
    axes.plot(x, y, color=colour, linewidth=1.2, label=label)
    axes.scatter(x, y, s=[14 + 260 * group.n / total for group in bins], color=colour, alpha=0.7, linewidths=0)
