"""The table of a sweep in the terminal."""

from pathlib import Path

from rich.table import Table

from preceptor.core.numbers import estimate, number
from preceptor.display.terminal import Terminal
from preceptor.evaluation.snapshot import Measure
from preceptor.evaluation.sweep import Sweep
from preceptor.reports.sweep.page import headline, mark, warnings


def show_sweep(sweep: Sweep, out: Path) -> None:
    """Prints what a sweep found; refusals and task scores are in its report."""
    by = "no held-out score" if sweep.held_out is None else f"held-out score by {sweep.held_out}"
    title = f"{sweep.prompts} prompts, {by}; * is the best"
    table = Table(title=title, title_justify="left")
    for column in ("step", "KL", "held-out", "change", *_reward(sweep), "perplexity", ""):
        table.add_column(column, justify="left" if column == "change" or not column else "right", no_wrap=True)
    for point in sweep.points:
        table.add_row(
            f"* {point.step}" if point.step == sweep.best_step else str(point.step),
            _value(point.kl, 1),
            _value(point.heldout),
            estimate(point.gain.overall, signed=True) if point.step else "",
            *([_value(point.training_reward)] if sweep.training_reward is not None else []),
            number(point.perplexity_ratio) + ("×" if point.perplexity_ratio is not None else ""),
            "out" if point.excluded is not None else mark(point),
        )
    console = Terminal()
    console.print(table)
    excluded = [f"Step {point.step}: {mark(point)}." for point in sweep.points if point.excluded is not None]
    for line in (*excluded, headline(sweep), *warnings(sweep)):
        console.print(line, highlight=False)
    console.print(f"report {out / 'report.html'}", highlight=False, soft_wrap=True)


def _value(measure: Measure, digits: int = 2) -> str:
    return number(None if measure.overall is None else measure.overall.value, digits)


def _reward(sweep: Sweep) -> list[str]:
    return [] if sweep.training_reward is None else ["reward"]
