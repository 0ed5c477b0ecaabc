"""The report of a checkpoint sweep: one self-contained HTML file that opens offline."""

from preceptor.reports.headlines import of_sweep
from preceptor.reports.sweep.figures import by_cohort, curves
from preceptor.reports.templates import page
from preceptor.results.sweep import SweepResult, mark


def render_sweep(sweep: SweepResult) -> str:
    """The report as HTML. All text is escaped."""
    return page(
        "sweep/sweep.html.jinja",
        s=sweep,
        headline=sweep.headline,
        short=of_sweep(sweep),
        warnings=sweep.warnings,
        curves=curves(sweep),
        by_cohort=by_cohort(sweep),
        mark=mark,
    )
