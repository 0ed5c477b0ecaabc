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
    """Four panels over training steps: reward, held-out score, KL, and text guards. Training is a thin line, the
    measurements on held-out prompts are points with 95 % intervals; a vertical line marks the checkpoint kept.
    """
    curve, bounds = summary["curve"], summary["recipe"]["evaluation"]["bounds"]
    steps = [row["step"] for row in metrics]
    with rc_context(STYLE):
        figure = Figure(figsize=(9.6, 6.2), layout="constrained")
        reward, heldout, kl, guards = figure.subplots(2, 2).flat
        reward.plot(
            [row["step"] for row in metrics if row["reward"] is not None],
            [row["reward"] for row in metrics if row["reward"] is not None],
            color=GREY, linewidth=1.2, label="training prompts",
        )  # fmt: skip
        _points(reward, curve, "judge_score", "held-out prompts")
        reward.set_title(f"Training judge's reward ({summary['recipe']['judge']['reward'].replace('_', '-')})")
        _points(heldout, curve, "heldout_score", "held-out prompts")
        heldout.set_title(f"Held-out score ({summary['recipe']['evaluation']['heldout']}), trains nothing")
        kl.plot(steps, [row["kl"] for row in metrics], color=GREY, linewidth=1.2, label="training prompts")
        _points(kl, curve, "kl", "held-out prompts")
        kl.axhline(bounds["max_kl"], color=RED, linewidth=1, linestyle="--", label="bound")
        kl.set_title("KL to the base model, nats per response")
        _guards(guards, metrics, summary)
        for axes in (reward, heldout, kl, guards):
            axes.axvline(summary["best_step"], color=GREEN, linewidth=5, alpha=0.18)
            axes.set_xlabel("training step")
        for axes in (reward, kl, guards):
            axes.legend(loc="best")
        return to_svg(figure, "Curves over training steps: reward, held-out score, KL, and guards against degeneration")


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
                [e["value"] for _, e in rows], [i + shift for i, _ in rows], xerr=_reach([e for _, e in rows]),
                fmt="o", markersize=5, color=colour, elinewidth=1.6, label=label,
            )  # fmt: skip
        axes.set_yticks(range(len(names)), names)
        axes.invert_yaxis()
        axes.set_title(title)
        axes.legend(loc="upper left", bbox_to_anchor=(1, 1))
        return to_svg(figure, f"{title} by cohort, before and after training")


def _guards(axes: Axes, metrics: Sequence[dict[str, Any]], summary: dict[str, Any]) -> None:
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
        points = [(s["step"], s[key]["overall"]["value"] / base) for s in summary["curve"]]
        axes.plot(*zip(*points, strict=True), color=colour, marker="o", markersize=4, linewidth=1.2, label=label)
    bounds = summary["recipe"]["evaluation"]["bounds"]
    for bound in (bounds["max_perplexity_ratio"], bounds["min_distinct_ratio"]):
        axes.axhline(bound, color=RED, linewidth=1, linestyle="--")
    axes.set_title("Guards, relative to before training")


def _points(axes: Axes, curve: Sequence[dict[str, Any]], key: str, label: str) -> None:
    known = [(s["step"], s[key]["overall"]) for s in curve if s[key]["overall"] is not None]
    axes.errorbar(
        [step for step, _ in known], [e["value"] for _, e in known], yerr=_reach([e for _, e in known]),
        fmt="o-", markersize=4.5, color=GREEN, linewidth=1.4, elinewidth=1.4, label=label,
    )  # fmt: skip


def _reach(estimates: Sequence[dict[str, Any]]) -> list[list[float]]:
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
