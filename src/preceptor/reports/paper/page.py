"""The report of a reproduced paper: each table beside the paper's own numbers."""

from preceptor.reports.templates import markdown, page
from preceptor.results.reproduction import ReproductionResult


def render_reproduction(result: ReproductionResult) -> str:
    """The report as one HTML file that opens offline. All text is escaped."""
    return page("paper/paper.html.jinja", r=result)


def render_reproduction_markdown(result: ReproductionResult) -> str:
    """The report as Markdown. All text is escaped."""
    return markdown("paper/paper.md.jinja", r=result)
