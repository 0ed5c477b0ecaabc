"""The report of several ways of training side by side: one self-contained HTML file that opens offline."""

from collections.abc import Sequence

from preceptor.evaluation.policies.result import Evaluation
from preceptor.reports.arms.figures import gain_against_kl
from preceptor.reports.evaluation.page import sections
from preceptor.reports.headlines import of_arms
from preceptor.reports.measured import Scores, rows_of
from preceptor.reports.responses import Row, fitting
from preceptor.reports.run.page import ReportData
from preceptor.reports.run.words import without_choice
from preceptor.reports.templates import page
from preceptor.results.arms import ArmsResult


def render_arms(summary: ArmsResult, compared: Evaluation, runs: Sequence[ReportData]) -> str:
    """The report as HTML. All text is escaped.

    Args:
        compared: the arms and the policy before training, compared with each other.
        runs: the arms' runs, in the order of the arms.
    """
    return page(
        "arms/arms.html.jinja",
        s=summary,
        headline=summary.headline,
        short=of_arms(summary, compared),
        every=fitting(_rows(summary, runs)),
        unchosen=without_choice(summary.runs),
        warnings=summary.warnings,
        figures_of_kl=gain_against_kl(summary.runs),
        **sections(compared) | {"in_run": True},
    )


def _rows(summary: ArmsResult, runs: Sequence[ReportData]) -> list[Row]:
    """Each prompt with the response before training and that of each arm."""
    if not runs:
        return []
    after = {arm.name: run.after for arm, run in zip(summary.arms, runs, strict=True)}
    return rows_of({"before training": runs[0].before} | after, Scores.of_run(runs[0].summary))
