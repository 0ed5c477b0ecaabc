"""Figures of a checkpoint sweep: each measure against the KL to the reference and against training steps."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from markupsafe import Markup
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from preceptor.core.numbers import estimate
from preceptor.evaluation.checkpoints.sweep import Sweep, SweepPoint
from preceptor.evaluation.intervals import Estimate
from preceptor.reports import figures as draw

Place = Callable[[SweepPoint], float | None]
_PERPLEXITY = "Perplexity on reference answers"
_STEPS, _KL = "training step", "KL to the reference, nats per response"
_TITLE = 44  # characters of a title on one line


@dataclass(frozen=True)
class _Line:
    """One measure at the checkpoints that have it."""

    points: Sequence[tuple[SweepPoint, Estimate]]
    colour: str
    marker: str = "o"
    name: str = "_nolegend_"


def curves(sweep: Sweep) -> list[Markup]:
    """Two figures for each measure, against KL and against steps: held-out score, training reward if there is one,
    perplexity on reference answers, refusals and task scores. Points are checkpoints with 95% intervals.
    """
    panels: dict[str, list[_Line]] = {}
    if sweep.held_out is not None:
        panels[f"Held-out score ({sweep.held_out})"] = [_Line(_known(sweep, lambda p: p.heldout.overall), draw.BLUE)]
    if sweep.training_reward is not None:
        reward = _Line(_known(sweep, lambda p: p.training_reward.overall), draw.GREY)
        panels[sweep.training_reward[0].upper() + sweep.training_reward[1:]] = [reward]
    if sweep.start.perplexity.overall is not None:
        panels[_PERPLEXITY] = [_Line(_known(sweep, lambda p: p.perplexity.overall), draw.SERIES[2])]
    if sweep.start.rates:
        panels["Refusals and task scores"] = [
            _Line(
                _known(sweep, lambda p, name=name: p.rates[name].overall),
                draw.SERIES[i % len(draw.SERIES)],
                draw.MARKERS[i % len(draw.MARKERS)],
                name,
            )
            for i, name in enumerate(sweep.start.rates)
        ]
    return [
        _figure(sweep, title, lines, axis, place)
        for title, lines in panels.items()
        for axis, place in ((_KL, _kl), (_STEPS, _step))
    ]


def by_cohort(sweep: Sweep) -> Markup | None:
    """The change of the held-out score at the best checkpoint, a row for each cohort; None with a single cohort."""
    if len(sweep.cohorts) < 2 or sweep.best_step == 0 or sweep.held_out is None:
        return None
    gain = sweep.best.gain
    names = sorted(sweep.cohorts)
    points = [gain.overall, *(gain.by_cohort.get(name) for name in names)]
    said = f"Change of the held-out score at step {sweep.best_step}: {estimate(gain.overall, signed=True)} overall"
    title = f"Change of the held-out score at step {sweep.best_step}"
    return draw.forest(
        ["overall", *names], [draw.Series("change", draw.BLUE, points)], title=title, description=said, at=0.0
    )


def _figure(sweep: Sweep, title: str, lines: Sequence[_Line], axis: str, place: Place) -> Markup:
    with rc_context(draw.STYLE):
        figure = Figure(figsize=(draw.WIDTH, 3.0), layout="constrained")
        axes = figure.subplots()
        for line in lines:
            _draw(axes, line, place)
        if title == _PERPLEXITY and sweep.start.perplexity.overall is not None:
            bound = sweep.start.perplexity.overall.value * sweep.bounds.max_perplexity_ratio
            axes.axhline(bound, color=draw.OCHRE, linewidth=1.2, linestyle=":", label="bound")
        _mark(axes, sweep, place)
        axes.set_title(draw.wrapped(title, _TITLE))
        axes.set_xlabel(axis)
        if axis == _STEPS:
            draw.whole_steps(axes)
        else:
            axes.locator_params(axis="x", nbins=6)
        figure.legend(loc="outside lower center", ncols=2)
        return draw.to_svg(
            figure, f"{title} against {axis}, {len(sweep.points)} checkpoints; the best is step {sweep.best_step}"
        )


def _draw(axes: Axes, line: _Line, place: Place) -> None:
    known = [(x, value) for point, value in line.points if (x := place(point)) is not None]
    axes.errorbar(
        [x for x, _ in known], [value.value for _, value in known], yerr=draw.reach([value for _, value in known]),
        fmt=f"{line.marker}-", markersize=4.5, color=line.colour, linewidth=1.2, elinewidth=1.4, label=line.name,
    )  # fmt: skip


def _mark(axes: Axes, sweep: Sweep, place: Place) -> None:
    """A band at the best checkpoint, and a line where over-optimisation begins."""
    if (x := place(sweep.best)) is not None:
        axes.axvline(x, color=draw.GREY, linewidth=6, alpha=0.3, label=f"best: step {sweep.best_step}")
    over = sweep.over_optimisation
    begins = next((point for point in sweep.points if over.detected and point.step == over.step), None)
    if begins is not None and (x := place(begins)) is not None:
        axes.axvline(x, color=draw.RED, linewidth=1.2, linestyle="--", label=f"over-optimisation: step {over.step}")


def _known(sweep: Sweep, value: Callable[[SweepPoint], Estimate | None]) -> list[tuple[SweepPoint, Estimate]]:
    return [(point, known) for point in sweep.points if (known := value(point)) is not None]


def _kl(point: SweepPoint) -> float | None:
    return None if point.kl.overall is None else point.kl.overall.value


def _step(point: SweepPoint) -> float:
    return float(point.step)
