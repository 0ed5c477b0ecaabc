"""The report of several ways of training side by side: one self-contained HTML file that opens offline."""

from preceptor.evaluation.policies.result import Evaluation
from preceptor.reports.arms.figures import gain_against_kl
from preceptor.reports.evaluation.page import sections
from preceptor.reports.run.words import without_choice
from preceptor.reports.templates import page
from preceptor.results.arms import ArmsResult


def render_arms(summary: ArmsResult, compared: Evaluation) -> str:
    """The report as HTML. All text is escaped.

    Args:
        compared: the arms and the policy before training, compared with each other.
    """
    return page(
        "arms/arms.html.jinja",
        s=summary,
        headline=summary.headline,
        unchosen=without_choice(summary.runs),
        warnings=summary.warnings,
        figure=gain_against_kl(summary.runs),
        **sections(compared) | {"in_run": True},
    )
