"""The report of a checkpoint sweep: one self-contained HTML file that opens offline."""

from collections.abc import Sequence

from preceptor.evaluation.checkpoints.snapshot import Snapshot
from preceptor.reports.headlines import of_sweep
from preceptor.reports.measured import Scores, rows_of
from preceptor.reports.responses import Row, fitting
from preceptor.reports.sweep.figures import by_cohort, curves
from preceptor.reports.templates import page
from preceptor.results.sweep import SweepResult, mark


def render_sweep(sweep: SweepResult, snapshots: Sequence[Snapshot] = ()) -> str:
    """The report as HTML. All text is escaped.

    Args:
        snapshots: what each checkpoint answered, for reading and searching.
    """
    return page(
        "sweep/sweep.html.jinja",
        s=sweep,
        headline=sweep.headline,
        short=of_sweep(sweep),
        warnings=sweep.warnings,
        curves=curves(sweep),
        by_cohort=by_cohort(sweep),
        mark=mark,
        every=fitting(_rows(sweep, snapshots)),
    )


def _rows(sweep: SweepResult, snapshots: Sequence[Snapshot]) -> list[Row]:
    """Each prompt with the response of every checkpoint."""
    by_name = {_called(snapshot.step, sweep.best_step): snapshot for snapshot in snapshots}
    return rows_of(by_name, Scores(sweep.held_out is not None, None if sweep.training_reward is None else "reward"))


def _called(step: int, best: int) -> str:
    name = f"step {step}" if step else "before training"
    return f"{name}, the best" if step == best else name
