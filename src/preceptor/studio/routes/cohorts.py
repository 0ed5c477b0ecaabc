"""Cohorts over time: how often production failed by week, before and after each deployed model, and which rows."""

from dataclasses import dataclass
from datetime import date
from urllib.parse import urlencode

from starlette.requests import Request
from starlette.responses import Response

from preceptor.core.errors import UsageError
from preceptor.evaluation.intervals import LEAST_FOR_RATE
from preceptor.studio.cohorts.figures import MOST_COHORTS, figure
from preceptor.studio.cohorts.over_time import OverTime, failing_rows
from preceptor.studio.cohorts.sources import JUDGED, Source
from preceptor.studio.context import studio_of
from preceptor.studio.pages import NotFoundError, owner_page, show

_MOST_ROWS = 200
"""Failing rows on one page."""


@dataclass(frozen=True)
class Listed:
    """A source in the list."""

    source: Source
    shown: OverTime | None
    link: "Link"


def cohorts(request: Request) -> Response:
    """All sources, those with something worse first."""
    if not studio_of(request).cohorts.ready(studio_of(request).library):
        return _waiting(request)
    sources, failed = studio_of(request).cohorts.all(studio_of(request).library)
    listed = [Listed(source, studio_of(request).cohorts.shown(source), Link(source.address)) for source in sources]
    listed.sort(key=lambda entry: entry.shown is None or not entry.shown.worse)
    return show(request, "cohorts.html.jinja", listed=listed, failed=failed, least=LEAST_FOR_RATE)


def cohort(request: Request) -> Response:
    """One source: failures over time by cohort, and each model beside the one before it."""
    if not studio_of(request).cohorts.ready(studio_of(request).library):
        return _waiting(request)
    source = _source(request)
    shown = studio_of(request).cohorts.shown(source)
    title = f"Lost to {source.against}" if source.against else "Signs of failure"
    return show(
        request,
        "cohort.html.jinja",
        source=source,
        shown=shown,
        drawn=None if shown is None else figure(title, shown),
        most_cohorts=MOST_COHORTS,
        least=LEAST_FOR_RATE,
        link=Link(source.address),
    )


def failing(request: Request) -> Response:
    """The responses of a source that failed, the latest first; of one cohort, of one model, since a day."""
    if not studio_of(request).cohorts.ready(studio_of(request).library):
        return _waiting(request)
    source, query = _source(request), request.query_params
    chosen, model, since = query.get("cohort") or None, query.get("model") or None, _day(query.get("since", ""))
    rows = failing_rows(source.responses, chosen, model, since)
    return show(
        request,
        "cohort_failing.html.jinja",
        source=source,
        rows=[(row, urlencode(_place(source, row.row_id, row.line))) for row in rows[:_MOST_ROWS]],
        total=len(rows),
        cohort=chosen,
        model=model,
        since=since,
        link=Link(source.address),
    )


def _waiting(request: Request) -> Response:
    """A page that says what is being read, and becomes the page that was asked for."""
    return show(
        request, "cohorts_reading.html.jinja", doing=studio_of(request).cohorts.doing, address=str(request.url.query)
    )


def _source(request: Request) -> Source:
    query = request.query_params
    named = query.get("of", ""), query.get("against", "")
    sources, failed = studio_of(request).cohorts.all(studio_of(request).library)
    found = next((source for source in sources if (source.name, source.against) == named), None)
    if found is None:
        problem = next((entry.problem for entry in failed if entry.name == named[0]), None)
        raise NotFoundError(problem or "There is no such file or evaluation; it may have been moved or deleted.")
    return found


def _place(source: Source, row_id: str, line: int) -> dict[str, str | int]:
    """What names a judged row, as parameters of its page."""
    return {"of": source.name, "id": row_id, "file": JUDGED, "line": line}


@dataclass(frozen=True)
class Link:
    """Makes the queries of a source's pages."""

    address: dict[str, str]

    def __call__(self, **chosen: str | date | None) -> str:
        """The query, with what is chosen in the source."""
        return urlencode(self.address | {name: str(value) for name, value in chosen.items() if value is not None})


def _day(text: str) -> date | None:
    try:
        return date.fromisoformat(text) if text else None
    except ValueError:
        raise UsageError(f'since "{text[:40]}": expected a day such as 2026-03-09') from None


ROUTES = (
    owner_page("/cohorts", cohorts),
    owner_page("/cohorts/one", cohort),
    owner_page("/cohorts/failing", failing),
)
