"""The report of an audit of step judges."""

from collections.abc import Mapping

from preceptor.evaluation.judges.benchmarks.words import differs
from preceptor.reports.templates import page
from preceptor.results.step_audit import RULE, StepAuditResult


def render_step_audit(result: StepAuditResult, facts: Mapping[str, str | int]) -> str:
    """The report as HTML. All text is escaped."""
    names = [score.name for score in result.judges[0].scores]
    return page(
        "audit/steps.html.jinja",
        result=result,
        rule=RULE,
        rows=[(name, [judge[name] for judge in result.judges]) for name in names],
        published_differs=differs,
        facts=facts,
    )
