"""The figures of several ways of training side by side: what is gained for a nat of KL."""

from collections.abc import Sequence
from typing import Any

from markupsafe import Markup
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from preceptor.core.numbers import estimate
from preceptor.evaluation.intervals import Estimate
from preceptor.reports.figures import GREY, MARKERS, SERIES, STYLE, WIDTH, reach, to_svg, wrapped
from preceptor.reports.run.figures import points_against_kl


def gain_against_kl(arms: Sequence[dict[str, Any]]) -> Markup:
    """Two panels, the held-out score and the judge's, each against the KL to the base. Of the held-out score a line per
    arm with a point for each look at a checkpoint; of both the policy before training and the one kept, on the test
    prompts, the latter larger and with its interval.

    Args:
        arms: `name` and `summary` of each.
    """
    with rc_context(STYLE):
        figure = Figure(figsize=(WIDTH, 5.2 + 0.18 * -(-len(arms) // 2)), layout="constrained")
        heldout, judge = figure.subplots(2, 1, sharex=True)
        for number, arm in enumerate(arms):
            style = {"color": SERIES[number % len(SERIES)], "marker": MARKERS[number % len(MARKERS)]}
            of_arm = arm["summary"]["evaluation"]
            _line(heldout, arm, points_against_kl(arm["summary"]["curve"], "heldout_score"), style)
            _line(
                judge, arm, points_against_kl([of_arm["before"] | {"step": 0}, of_arm["after"]], "judge_score"), style
            )
            for axes, key in ((heldout, "heldout_score"), (judge, "judge_score")):
                _end(axes, of_arm["after"], key, style)
        before = next((arm["summary"]["evaluation"]["before"]["heldout_score"]["overall"] for arm in arms), None)
        if before is not None:
            heldout.axhline(before["value"], color=GREY, linewidth=1, linestyle=":")
        heldout.set_title("Held-out score, trains nothing")
        judge.set_title("Training judge's score")
        judge.set_xlabel("KL to the base, nats per response")
        labelled = heldout if before is not None else judge
        figure.legend(*labelled.get_legend_handles_labels(), loc="outside lower center", ncols=2)
        ends = [(arm["name"], arm["summary"]["evaluation"]["after"]["heldout_score"]["overall"]) for arm in arms]
        said = "; ".join(f"{name} {estimate(end)}" for name, end in ends)
        return to_svg(
            figure, f"Held-out score and the judge's score against KL to the base. Held-out in the end: {said}"
        )


def _line(axes: Axes, arm: dict[str, Any], known: Sequence[tuple[int, float, Estimate]], style: dict[str, Any]) -> None:
    if known:
        points = [(kl, e.value) for _, kl, e in known]
        name = wrapped(arm["name"], lines=1)
        axes.plot(*zip(*points, strict=True), **style, markersize=4, linewidth=1.1, alpha=0.75, label=name)


def _end(axes: Axes, after: dict[str, Any], key: str, style: dict[str, Any]) -> None:
    """The policy after training, large and with its interval."""
    if after[key]["overall"] and after["kl"]["overall"]:
        axes.errorbar(
            [after["kl"]["overall"]["value"]], [after[key]["overall"]["value"]], yerr=reach([after[key]["overall"]]),
            **style, markersize=9, elinewidth=1.6,
        )  # fmt: skip
