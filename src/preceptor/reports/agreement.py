"""The report of people's agreement: one self-contained HTML file that opens offline."""

from preceptor.core.numbers import share
from preceptor.reports.headlines import Headline
from preceptor.reports.templates import page
from preceptor.results.agreement import AgreementResult

SHOWN = 500
"""The largest number of rows in the table; with more, those on which people agree least."""


def render_agreement(result: AgreementResult, title: str) -> str:
    """The report as HTML. All text is escaped. Its headline has no verdict, since nothing is compared.

    Args:
        title: name of the rows.
    """
    people = result.agreement
    line = f"Two people agree {share(people.pairwise)} of the time on {people.rows} rows"
    rows = sorted(people.concordance, key=lambda row: (row.w is None, row.w))[:SHOWN]
    return page("agreement.html.jinja", r=result, title=title, short=Headline(None, line), rows=rows)
