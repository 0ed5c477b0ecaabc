"""The table of a sweep in the terminal."""

from pathlib import Path

from preceptor.core.numbers import estimate, number
from preceptor.display.table import Column, Table
from preceptor.evaluation.snapshot import Measure
from preceptor.evaluation.sweep import Sweep, SweepPoint
from preceptor.reports.sweep.page import headline, mark, warnings


def sweep_text(sweep: Sweep, out: Path) -> str:
    """What a sweep measured; refusals and task scores are in its report."""
    return f"{sweep_table(sweep)}\nreport {out / 'report.html'}"


def sweep_table(sweep: Sweep) -> Table:
    """The checkpoints below each other."""
    by = "no held-out score" if sweep.held_out is None else f"held-out score by {sweep.held_out}"
    names = ("step", "KL", "held-out", "change", *_reward(sweep), "perplexity")
    excluded = [f"Step {point.step}: {mark(point)}." for point in sweep.points if point.excluded is not None]
    return Table(
        [*(Column(name, "right") for name in names), Column("")],
        [_row(sweep, point) for point in sweep.points],
        title=f"{sweep.prompts} prompts, {by}; * is the best",
        notes=[*excluded, headline(sweep), *warnings(sweep)],
    )


def _row(sweep: Sweep, point: SweepPoint) -> tuple[str, ...]:
    return (
        f"* {point.step}" if point.step == sweep.best_step else str(point.step),
        _value(point.kl, 1),
        _value(point.heldout),
        estimate(point.gain.overall, signed=True) if point.step else "",
        *([_value(point.training_reward)] if sweep.training_reward is not None else []),
        number(point.perplexity_ratio) + ("×" if point.perplexity_ratio is not None else ""),
        "out" if point.excluded is not None else mark(point),
    )


def _value(measure: Measure, digits: int = 2) -> str:
    return number(None if measure.overall is None else measure.overall.value, digits)


def _reward(sweep: Sweep) -> list[str]:
    return [] if sweep.training_reward is None else ["reward"]
