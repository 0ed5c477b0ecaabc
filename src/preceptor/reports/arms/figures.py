"""Figures of several ways of training side by side: the gain per nat of KL."""

from collections.abc import Mapping, Sequence
from typing import Any

from markupsafe import Markup
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from preceptor.core.numbers import estimate
from preceptor.evaluation.checkpoints.snapshot import Measure, MeasureName, Measures
from preceptor.evaluation.intervals import Estimate
from preceptor.reports.figures import GREY, MARKERS, SERIES, STYLE, WIDTH, reach, to_svg, wrapped
from preceptor.reports.run.figures import points_against_kl
from preceptor.results.run import RunSummary

_SCORES: dict[MeasureName, str] = {
    "heldout_score": "Held-out score, trains nothing",
    "judge_score": "Training judge's score",
}


def gain_against_kl(runs: Mapping[str, RunSummary]) -> list[Markup]:
    """Two figures, the held-out score and the judge's score, each against the KL to the base. For the held-out score,
    each run has a line with a point for each measured checkpoint. Both show the policy before training and the kept one
    on the test prompts; the kept one is larger and has its interval.

    Args:
        runs: by name.
    """
    with rc_context(STYLE):
        height = 3.0 + 0.18 * -(-len(runs) // 2)
        figures = [Figure(figsize=(WIDTH, height), layout="constrained") for _ in range(2)]
        heldout, judge = (figure.subplots() for figure in figures)
        for number, (name, run) in enumerate(runs.items()):
            style: dict[str, Any] = {"color": SERIES[number % len(SERIES)], "marker": MARKERS[number % len(MARKERS)]}
            before, after = run.evaluation.before, run.evaluation.after
            _line(heldout, name, points_against_kl(run.curve, "heldout_score"), style)
            _line(judge, name, points_against_kl([before, after], "judge_score"), style)
            _end(heldout, after, after.heldout_score, style)
            _end(judge, after, after.judge_score, style)
        before = next((run.evaluation.before.heldout_score.overall for run in runs.values()), None)
        if before is not None:
            heldout.axhline(before.value, color=GREY, linewidth=1, linestyle=":")
        ends = [
            "; ".join(f"{name} {estimate(run.evaluation.after.measure(key).overall)}" for name, run in runs.items())
            for key in _SCORES
        ]
        return [
            _titled(figure, axes, title, said)
            for figure, axes, title, said in zip(figures, (heldout, judge), _SCORES.values(), ends, strict=True)
        ]


def _titled(figure: Figure, axes: Axes, title: str, ends: str) -> Markup:
    axes.set_title(title)
    axes.set_xlabel("KL to the base, nats per response")
    axes.locator_params(axis="x", nbins=6)
    if axes.get_legend_handles_labels()[1]:
        figure.legend(loc="outside lower center", ncols=2)
    return to_svg(figure, f"{title} against KL to the base. At the end: {ends}")


def _line(axes: Axes, name: str, known: Sequence[tuple[int, float, Estimate]], style: dict[str, Any]) -> None:
    if known:
        points = [(kl, e.value) for _, kl, e in known]
        axes.plot(
            *zip(*points, strict=True), **style, markersize=4, linewidth=1.1, alpha=0.75, label=wrapped(name, lines=1)
        )


def _end(axes: Axes, after: Measures, measure: Measure, style: dict[str, Any]) -> None:
    """The policy after training, large and with its interval."""
    if measure.overall is not None and after.kl.overall is not None:
        axes.errorbar(
            [after.kl.overall.value], [measure.overall.value], yerr=reach([measure.overall]),
            **style, markersize=9, elinewidth=1.6,
        )  # fmt: skip
