"""The first page: for the owner, all folders; for a rater, the queues that wait for them."""

from dataclasses import dataclass
from datetime import UTC, datetime

from starlette.requests import Request
from starlette.responses import Response

from preceptor.studio.context import studio_of, visitor_of
from preceptor.studio.folders import Work
from preceptor.studio.pages import rater_page, show
from preceptor.studio.people.queues import progress, queues
from preceptor.studio.rows.files import row_files
from preceptor.studio.runs.state import report_of


@dataclass(frozen=True)
class Listed:
    """A folder in the list."""

    work: Work
    changed: str
    """When it last changed, in UTC."""
    has_rows: bool
    has_report: bool


def start(request: Request) -> Response:
    """The first page."""
    studio, visitor = studio_of(request), visitor_of(request)
    waiting = [(queue, progress(studio.people, queue)) for queue in queues(studio.people) if not queue.closed]
    works = sorted(studio.library.works(), key=lambda work: -work.changed) if visitor.owner else []
    return show(request, "start.html.jinja", queues=waiting, works=[_listed(work) for work in works])


def _listed(work: Work) -> Listed:
    changed = datetime.fromtimestamp(work.changed, UTC)
    return Listed(work, f"{changed:%Y-%m-%d %H:%M}", bool(row_files(work)), report_of(work) is not None)


ROUTES = (rater_page("/", start),)
