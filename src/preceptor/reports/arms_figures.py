"""The figures of several ways of training side by side: what is gained for a nat of KL."""

from collections.abc import Sequence
from typing import Any

from markupsafe import Markup
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from preceptor.reports.figures import GREY, MARKERS, SERIES, STYLE, WIDTH, reach, to_svg, wrapped
from preceptor.reports.numbers import estimate
from preceptor.reports.run_figures import points_against_kl


def gain_against_kl(arms: Sequence[dict[str, Any]]) -> Markup:
    """Two panels, the held-out score and the judge's, each against the KL to the base: one line per arm, a point per
    checkpoint, the one kept larger and with its interval after training.

    Args:
        arms: `name` and `summary` of each.
    """
    with rc_context(STYLE):
        figure = Figure(figsize=(WIDTH, 5.2 + 0.18 * -(-len(arms) // 2)), layout="constrained")
        heldout, judge = figure.subplots(2, 1, sharex=True)
        for number, arm in enumerate(arms):
            style = {"color": SERIES[number % len(SERIES)], "marker": MARKERS[number % len(MARKERS)]}
            _line(heldout, arm, "heldout_score", style)
            _line(judge, arm, "judge_score", style)
        before = next((arm["summary"]["evaluation"]["before"]["heldout_score"]["overall"] for arm in arms), None)
        if before is not None:
            heldout.axhline(before["value"], color=GREY, linewidth=1, linestyle=":")
        heldout.set_title("Held-out score, trains nothing")
        judge.set_title("Training judge's score")
        judge.set_xlabel("KL to the base, nats per response")
        figure.legend(*heldout.get_legend_handles_labels(), loc="outside lower center", ncols=2)
        ends = [(arm["name"], arm["summary"]["evaluation"]["after"]["heldout_score"]["overall"]) for arm in arms]
        said = "; ".join(f"{name} {estimate(end)}" for name, end in ends)
        return to_svg(
            figure, f"Held-out score and the judge's score against KL to the base. Held-out in the end: {said}"
        )


def _line(axes: Axes, arm: dict[str, Any], key: str, style: dict[str, Any]) -> None:
    summary = arm["summary"]
    known = [(kl, e.value) for _, kl, e in points_against_kl(summary["curve"], key)]
    if not known:
        return
    axes.plot(
        *zip(*known, strict=True), **style, markersize=4, linewidth=1.1, alpha=0.75, label=wrapped(arm["name"], lines=1)
    )
    after = summary["evaluation"]["after"]
    if after[key]["overall"]:
        axes.errorbar(
            [after["kl"]["overall"]["value"]], [after[key]["overall"]["value"]], yerr=reach([after[key]["overall"]]),
            **style, markersize=9, elinewidth=1.6,
        )  # fmt: skip
