"""Figures of a run: against training steps, against the KL to its reference, and by cohort."""

from collections.abc import Sequence

from markupsafe import Markup
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from preceptor.core.progress import Facts
from preceptor.evaluation.checkpoints.choose import OverOptimisation
from preceptor.evaluation.checkpoints.snapshot import MeasureName, Measures
from preceptor.evaluation.intervals import Estimate
from preceptor.reports.figures import (
    BLUE,
    GREY,
    OCHRE,
    RED,
    SERIES,
    STYLE,
    WIDTH,
    Series,
    forest,
    reach,
    to_svg,
    whole_steps,
)
from preceptor.reports.run.words import looked_at
from preceptor.results.run import BeforeAndAfter, RunSummary

_NUMBERED = 12
"""The largest number of checkpoints whose steps are written beside their points."""
_WIDE = 30
"""Characters above which an entry of the legend gets its own line."""


def curves(metrics: Sequence[Facts], summary: RunSummary) -> list[Markup]:
    """Figures against training steps: reward or loss, the held-out score if there is one, KL, and guards on the text.
    Training is a thin line, measurements of checkpoints are points with their 95% intervals; a band marks the kept
    checkpoint.
    """
    curve = summary.curve
    with rc_context(STYLE):
        figures = [Figure(figsize=(WIDTH, 2.9), layout="constrained") for _ in range(4)]
        trained, heldout, kl, guards = panels = [figure.subplots() for figure in figures]
        _trained_on(trained, metrics, summary)
        _points(heldout, curve, "heldout_score", looked_at(summary))
        heldout.set_title(f"Held-out score ({summary.heldout_score_is})")
        _line(kl, metrics, "kl", "training prompts")
        _points(kl, curve, "kl", "at checkpoints" if summary.rounds is None else "after each round")
        kl.axhline(summary.bounds.max_kl, color=RED, linewidth=1, linestyle="--", label="bound")
        to = "reference" if summary.rounds is None else "first policy"
        kl.set_title(f"KL to the {to}, nats per response")
        _guards(guards, summary)
        if summary.heldout_score_is is None:
            del figures[1], panels[1]
        if summary.rounds is not None:  # each round's own report has its steps
            del figures[0], panels[0]
        for figure, axes in zip(figures, panels, strict=True):
            axes.axvline(summary.best_step, color=GREY, linewidth=6, alpha=0.3)
            axes.set_xlabel("training step" if summary.rounds is None else "round")
            whole_steps(axes)
            labels = axes.get_legend_handles_labels()[1]
            if len(labels) > 1:  # side by side if that is not too wide
                figure.legend(loc="outside lower center", ncols=1 if max(map(len, labels)) > _WIDE else 2)
        against = "training steps" if summary.rounds is None else "rounds"
        kept = f"against {against}; the kept checkpoint is {summary.kept}"
        titles = [axes.get_title("left") for axes in panels]
        return [to_svg(figure, f"{title} {kept}") for figure, title in zip(figures, titles, strict=True)]


def against_kl(metrics: Sequence[Facts], summary: RunSummary) -> Markup | None:
    """Training reward and held-out score against the KL to the reference, marking where over-optimisation begins. None
    with fewer than three measured checkpoints, and without a held-out score.

    The two have different units, so each has a panel: training with a point for each step, the held-out score with a
    point and a 95% interval for each checkpoint.
    """
    curve, over = summary.curve, summary.over_optimisation
    if len(curve) < 3 or summary.heldout_score_is is None:
        return None
    paid = [(row["kl"], row["reward"]) for row in metrics if row.get("reward") is not None and "kl" in row]
    begins = next((look for look in curve if look.step == over.step), None)
    with rc_context(STYLE):
        figure = Figure(figsize=(WIDTH, 4.6 if paid else 2.7), layout="constrained")
        panels = list(figure.subplots(2 if paid else 1, 1, sharex=True, squeeze=False).flat)
        if paid:
            panels[0].plot(*zip(*paid, strict=True), "o-", color=GREY, markersize=4, linewidth=1.2)
            panels[0].set_title("Training reward, training prompts")
        known = points_against_kl(curve, "heldout_score")
        panels[-1].errorbar(
            [kl for _, kl, _ in known], [e.value for *_, e in known], yerr=reach([e for *_, e in known]),
            fmt="o-", markersize=4.5, color=BLUE, linewidth=1.2, elinewidth=1.4,
        )  # fmt: skip
        for step, kl, e in known if len(known) <= _NUMBERED else ():
            panels[-1].annotate(str(step), (kl, e.value), (4, 4), textcoords="offset points", fontsize=8)
        panels[-1].set_title(f"Held-out score, {looked_at(summary)}")
        for axes in panels:
            if begins is not None and begins.kl.overall is not None:
                axes.axvline(begins.kl.overall.value, color=RED, linewidth=1.2, linestyle="--")
        if begins is not None:
            panels[-1].plot([], [], color=RED, linewidth=1.2, linestyle="--", label=_begins(over))
            panels[-1].legend(loc="best")
        panels[-1].set_xlabel("KL to the reference, nats per response")
        said = f"over-optimisation begins at step {over.step}" if over.detected else "no over-optimisation found"
        return to_svg(figure, f"Training reward and held-out score against KL, {len(curve)} checkpoints; {said}")


def points_against_kl(curve: Sequence[Measures], key: MeasureName) -> list[tuple[int, float, Estimate]]:
    """Step, mean KL and a measure of every checkpoint that has both."""
    return [
        (look.step, look.kl.overall.value, value)
        for look in curve
        if look.kl.overall is not None and (value := look.measure(key).overall) is not None
    ]


def cohorts(of_run: BeforeAndAfter, key: MeasureName, title: str) -> Markup:
    """One row per cohort: the measure before and after training, each with its 95% interval."""
    names = list(of_run.before.measure(key).by_cohort)
    series: list[Series] = []
    for label, colour, measures in (("before", GREY, of_run.before), ("after", BLUE, of_run.after)):
        measure = measures.measure(key)
        points = [measure.overall, *(measure.by_cohort.get(name) for name in names)]
        series.append(Series(label, colour, points))
    return forest(["overall", *names], series, title=title, description=f"{title} by cohort, before and after training")


def _begins(over: OverOptimisation) -> str:
    return f"over-optimisation from step {over.step}"


def _trained_on(axes: Axes, metrics: Sequence[Facts], summary: RunSummary) -> None:
    """Rewards in training, beside those on held-out prompts; the loss if there are no rewards."""
    key, title = ("reward", "Reward") if any("reward" in row for row in metrics) else ("loss", "Loss")
    score = summary.judge_score_is
    comparable = key == "reward" and score is not None
    _line(axes, metrics, key, "training prompts" if key == "reward" else "training")
    if comparable:
        _points(axes, summary.curve, "judge_score", f"{looked_at(summary)}: {score}")
    axes.set_title(f"{title} of each training step")


def _line(axes: Axes, metrics: Sequence[Facts], key: str, label: str) -> None:
    known = [(row["step"], row[key]) for row in metrics if row.get(key) is not None]
    if known:
        axes.plot(*zip(*known, strict=True), color=GREY, linewidth=1.2, label=label)


def _guards(axes: Axes, summary: RunSummary) -> None:
    """All guards relative to before training, so that they share one axis."""
    styles: tuple[tuple[MeasureName, str, str], ...] = (
        ("reference_perplexity", "perplexity on references", SERIES[2]),
        ("distinct_2", "distinct-2", OCHRE),
        ("tokens_mean", "tokens per response", GREY),
    )
    for key, label, colour in styles:
        base = summary.curve[0].measure(key).overall
        if base is None or base.value == 0:
            continue
        points = [(step, value.value / base.value) for step, value in _known(summary.curve, key)]
        axes.plot(*zip(*points, strict=True), color=colour, marker="o", markersize=4, linewidth=1.2, label=label)
    for bound in (summary.bounds.max_perplexity_ratio, summary.bounds.min_distinct_ratio):
        axes.axhline(bound, color=RED, linewidth=1, linestyle="--")
    axes.set_title("Guards, relative to before training")


def _points(axes: Axes, curve: Sequence[Measures], key: MeasureName, label: str) -> None:
    known = _known(curve, key)
    if not known:
        return
    axes.errorbar(
        [step for step, _ in known], [e.value for _, e in known], yerr=reach([e for _, e in known]),
        fmt="o-", markersize=4.5, color=BLUE, linewidth=1.4, elinewidth=1.4, label=label,
    )  # fmt: skip


def _known(curve: Sequence[Measures], key: MeasureName) -> list[tuple[int, Estimate]]:
    """The measure of each checkpoint that has it, by step."""
    return [(look.step, value) for look in curve if (value := look.measure(key).overall) is not None]
