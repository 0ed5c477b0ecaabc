"""The figure of several ways of training on one chart: what is gained for a nat of KL."""

from collections.abc import Sequence
from typing import Any

from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from preceptor.reports.figures import GREY, STYLE, reach, to_svg

_COLOURS = ("#0f8b6d", "#c4553b", "#5b6fc4", "#b07b19", "#8e4a9e", "#2a93c9", "#77803a", "#c0567f")
_MARKERS = "osD^vPX*"


def gain_against_kl(arms: Sequence[dict[str, Any]]) -> str:
    """Two panels, the held-out score and the judge's, each against the KL to the base: one line per arm, a point per
    checkpoint, the one kept larger and with its interval after training.

    Args:
        arms: `name` and `summary` of each.
    """
    with rc_context(STYLE):
        figure = Figure(figsize=(9.6, 4.6), layout="constrained")
        heldout, judge = figure.subplots(1, 2)
        for number, arm in enumerate(arms):
            style = {"color": _COLOURS[number % len(_COLOURS)], "marker": _MARKERS[number % len(_MARKERS)]}
            _line(heldout, arm, "heldout_score", style)
            _line(judge, arm, "judge_score", style)
        heldout.set_title("Held-out score, trains nothing")
        judge.set_title("Training judge's score")
        before = [arm["summary"]["evaluation"]["before"]["heldout_score"]["overall"] for arm in arms]
        if before and before[0] is not None:
            heldout.axhline(before[0]["value"], color=GREY, linewidth=1, linestyle=":")
        for axes in (heldout, judge):
            axes.set_xlabel("KL to the base, nats per response")
        figure.legend(*heldout.get_legend_handles_labels(), loc="outside lower center", ncols=4)
        return to_svg(figure, "Held-out score and the judge's score against KL to the base, one line per arm")


def _line(axes: Axes, arm: dict[str, Any], key: str, style: dict[str, Any]) -> None:
    summary = arm["summary"]
    known = [(s["kl"]["overall"]["value"], s[key]["overall"]["value"]) for s in summary["curve"] if s[key]["overall"]]
    if not known:
        return
    axes.plot(*zip(*known, strict=True), **style, markersize=4, linewidth=1.1, alpha=0.75, label=arm["name"])
    after = summary["evaluation"]["after"]
    if after[key]["overall"]:
        axes.errorbar(
            [after["kl"]["overall"]["value"]], [after[key]["overall"]["value"]], yerr=reach([after[key]["overall"]]),
            **style, markersize=9, elinewidth=1.6,
        )  # fmt: skip
