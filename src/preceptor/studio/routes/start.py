"""The first page: for the owner, all folders; for a rater, the queues that wait for them."""

from starlette.requests import Request
from starlette.responses import Response

from preceptor.studio.context import studio_of, visitor_of
from preceptor.studio.pages import rater_page, show
from preceptor.studio.people.queues import progress, queues


def start(request: Request) -> Response:
    """The first page."""
    studio, visitor = studio_of(request), visitor_of(request)
    waiting = [(queue, progress(studio.people, queue)) for queue in queues(studio.people) if not queue.closed]
    works = studio.library.works() if visitor.owner else ()
    return show(request, "start.html.jinja", queues=waiting, works=works)


ROUTES = (rater_page("/", start),)
