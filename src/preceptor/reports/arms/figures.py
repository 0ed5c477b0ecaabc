"""Figures of several ways of training side by side: the gain per nat of KL."""

from collections.abc import Mapping, Sequence
from typing import Any

from markupsafe import Markup
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from preceptor.core.numbers import estimate
from preceptor.evaluation.checkpoints.snapshot import Measure, Measures
from preceptor.evaluation.intervals import Estimate
from preceptor.reports.figures import GREY, MARKERS, SERIES, STYLE, WIDTH, reach, to_svg, wrapped
from preceptor.reports.run.figures import points_against_kl
from preceptor.results.run import RunSummary


def gain_against_kl(runs: Mapping[str, RunSummary]) -> Markup:
    """Two panels, the held-out score and the judge's score, each against the KL to the base. For the held-out score,
    each run has a line with a point for each measured checkpoint. Both panels show the policy before training and the
    kept one on the test prompts; the kept one is larger and has its interval.

    Args:
        runs: by name.
    """
    with rc_context(STYLE):
        figure = Figure(figsize=(WIDTH, 5.2 + 0.18 * -(-len(runs) // 2)), layout="constrained")
        heldout, judge = figure.subplots(2, 1, sharex=True)
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
        heldout.set_title("Held-out score, trains nothing")
        judge.set_title("Training judge's score")
        judge.set_xlabel("KL to the base, nats per response")
        labelled = heldout if before is not None else judge
        figure.legend(*labelled.get_legend_handles_labels(), loc="outside lower center", ncols=2)
        ends = "; ".join(f"{name} {estimate(run.evaluation.after.heldout_score.overall)}" for name, run in runs.items())
        return to_svg(
            figure, f"Held-out score and the judge's score against KL to the base. Held-out score at the end: {ends}"
        )


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
