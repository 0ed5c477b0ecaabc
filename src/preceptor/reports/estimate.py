"""The report of an estimate of what people prefer: one self-contained HTML file that opens offline."""

from markupsafe import Markup

from preceptor.core.numbers import share
from preceptor.reports.figures import BLUE, Series, forest
from preceptor.reports.headlines import of_estimate
from preceptor.reports.templates import page
from preceptor.results.estimate import CHOSEN, EstimateResult


def render_estimate(result: EstimateResult, title: str) -> str:
    """The report as HTML. All text is escaped.

    Args:
        title: name of the judged rows.
    """
    return page(
        "estimate.html.jinja",
        r=result,
        title=title,
        short=of_estimate(result),
        figure=_figure(result),
        chosen_how=CHOSEN,
    )


def _figure(result: EstimateResult) -> Markup:
    e = result.estimates
    shares = {"people and judge": e.prediction_powered, "people alone": e.human_only, "judge alone": e.judge_only}
    said = "; ".join(f"{name} {share(found)}" for name, found in shares.items())
    return forest(
        list(shares),
        [Series("preferred", BLUE, list(shares.values()))],
        title="Share that people prefer",
        description=f"How often people prefer {result.preferred}: {said}",
        at=0.5,
        percent=True,
    )
