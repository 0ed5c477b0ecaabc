"""Figures as inline SVG that follow the page's colours: text and axes are drawn in `currentColor`."""

import io
from collections.abc import Sequence
from typing import Any

import matplotlib

matplotlib.use("svg")

from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure

_INK = "#010203"  # stands for the page's text colour until the SVG is written
GREY, GREEN, RED = "#8a94a6", "#0f8b6d", "#c4553b"
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
    "grid.color": _INK,
    "grid.alpha": 0.12,
    "grid.linewidth": 0.6,
    "legend.frameon": False,
    "legend.fontsize": 9,
    "figure.facecolor": "none",
    "axes.facecolor": "none",
    "savefig.facecolor": "none",
}


def curves(metrics: Sequence[dict[str, Any]], summary: dict[str, Any]) -> str:
    """Four panels over training steps: what was trained on, held-out score, KL, and text guards. Training is a thin
    line, the measurements on held-out prompts are points with 95 % intervals; a band marks the checkpoint kept.
    """
    curve, bounds = summary["curve"], summary["recipe"]["evaluation"]["bounds"]
    with rc_context(STYLE):
        figure = Figure(figsize=(9.6, 6.2), layout="constrained")
        trained, heldout, kl, guards = figure.subplots(2, 2).flat
        _trained_on(trained, metrics, summary)
        _points(heldout, curve, "heldout_score", "held-out prompts")
        heldout.set_title(f"Held-out score ({summary['recipe']['evaluation']['heldout']}), trains nothing")
        _line(kl, metrics, "kl", "training prompts")
        _points(kl, curve, "kl", "held-out prompts")
        kl.axhline(bounds["max_kl"], color=RED, linewidth=1, linestyle="--", label="bound")
        kl.set_title("KL to the reference, nats per response")
        _guards(guards, summary)
        for axes in (trained, heldout, kl, guards):
            axes.axvline(summary["best_step"], color=GREEN, linewidth=5, alpha=0.18)
            axes.set_xlabel("training step")
        for axes in (trained, kl, guards):
            axes.legend(loc="best")
        return to_svg(figure, f"Curves over training steps: {trained.get_title()}, held-out score, KL, guards")


def _trained_on(axes: Axes, metrics: Sequence[dict[str, Any]], summary: dict[str, Any]) -> None:
    """What training saw of itself: rewards, and those on held-out prompts beside them; else the loss."""
    key, title = ("reward", "Reward") if any("reward" in row for row in metrics) else ("loss", "Loss")
    score = summary["judge_score_is"]
    comparable = key == "reward" and score is not None
    _line(axes, metrics, key, "training prompts" if key == "reward" else "training")
    if comparable:
        _points(axes, summary["curve"], "judge_score", f"held-out prompts: {score}")
    axes.set_title(f"{title} of each training step")


def _line(axes: Axes, metrics: Sequence[dict[str, Any]], key: str, label: str) -> None:
    known = [(row["step"], row[key]) for row in metrics if row.get(key) is not None]
    if known:
        axes.plot(*zip(*known, strict=True), color=GREY, linewidth=1.2, label=label)


def cohorts(before: dict[str, Any], after: dict[str, Any], key: str, title: str) -> str:
    """One row per cohort: the measure before and after training, each with its 95 % interval."""
    names = ["overall", *before[key]["by_cohort"]]
    pairs = [(before[key]["overall"], after[key]["overall"])]
    pairs += [(before[key]["by_cohort"][name], after[key]["by_cohort"].get(name)) for name in names[1:]]
    with rc_context(STYLE):
        figure = Figure(figsize=(9.6, 0.6 + 0.46 * len(names)), layout="constrained")
        axes = figure.subplots()
        for column, (label, colour, shift) in enumerate((("before", GREY, -0.13), ("after", GREEN, 0.13))):
            rows = [(i, pair[column]) for i, pair in enumerate(pairs) if pair[column] is not None]
            axes.errorbar(
                [e["value"] for _, e in rows], [i + shift for i, _ in rows], xerr=reach([e for _, e in rows]),
                fmt="o", markersize=5, color=colour, elinewidth=1.6, label=label,
            )  # fmt: skip
        axes.set_yticks(range(len(names)), names)
        axes.invert_yaxis()
        axes.set_title(title)
        axes.legend(loc="upper left", bbox_to_anchor=(1, 1))
        return to_svg(figure, f"{title} by cohort, before and after training")


def _guards(axes: Axes, summary: dict[str, Any]) -> None:
    """Everything relative to before training, so that one axis serves."""
    first = summary["curve"][0]
    styles = (
        ("reference_perplexity", "perplexity on references", "#5b6fc4"),
        ("distinct_2", "distinct-2", "#b07b19"),
        ("tokens_mean", "tokens per response", GREY),
    )
    for key, label, colour in styles:
        if first[key]["overall"] is None or first[key]["overall"]["value"] == 0:
            continue
        base = first[key]["overall"]["value"]
        points = [(s["step"], s[key]["overall"]["value"] / base) for s in summary["curve"] if s[key]["overall"]]
        axes.plot(*zip(*points, strict=True), color=colour, marker="o", markersize=4, linewidth=1.2, label=label)
    bounds = summary["recipe"]["evaluation"]["bounds"]
    for bound in (bounds["max_perplexity_ratio"], bounds["min_distinct_ratio"]):
        axes.axhline(bound, color=RED, linewidth=1, linestyle="--")
    axes.set_title("Guards, relative to before training")


def _points(axes: Axes, curve: Sequence[dict[str, Any]], key: str, label: str) -> None:
    known = [(s["step"], s[key]["overall"]) for s in curve if s[key]["overall"] is not None]
    axes.errorbar(
        [step for step, _ in known], [e["value"] for _, e in known], yerr=reach([e for _, e in known]),
        fmt="o-", markersize=4.5, color=GREEN, linewidth=1.4, elinewidth=1.4, label=label,
    )  # fmt: skip


def reach(estimates: Sequence[dict[str, Any]]) -> list[list[float]]:
    """Distances from values to the ends of their intervals, as matplotlib wants them; 0 where there is no interval."""
    below = [max(0.0, e["value"] - e["low"]) if e["low"] is not None else 0.0 for e in estimates]
    above = [max(0.0, e["high"] - e["value"]) if e["high"] is not None else 0.0 for e in estimates]
    return [below, above]


def to_svg(figure: Figure, description: str) -> str:
    """The figure as an SVG element with a text for those who cannot see it."""
    stream = io.StringIO()
    figure.savefig(stream, format="svg", metadata={"Date": None, "Creator": None})
    svg = stream.getvalue()
    svg = svg[svg.index("<svg") :].replace(_INK, "currentColor")
    return svg.replace("<svg", f'<svg role="img" aria-label="{description}"', 1)
