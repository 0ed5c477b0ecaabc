"""Rating: a rater sees one row at a time, without names and verdicts, and answers with one key."""

from starlette.datastructures import FormData
from starlette.requests import Request
from starlette.responses import Response

from preceptor.studio.context import studio_of, visitor_of
from preceptor.studio.pages import NotFoundError, go, number_in, rater_form, rater_page, show, text_in
from preceptor.studio.people import assign, ratings
from preceptor.studio.people.queues import Queue, find, progress


def rate(request: Request) -> Response:
    """The row that the rater is asked about next."""
    queue = _queue(request)
    people = studio_of(request).people
    row = assign.next_row(people, queue, visitor_of(request).id)
    return show(request, "rate.html.jinja", queue=queue, assignment=row, progress=progress(people, queue))


def answer(request: Request, form: FormData) -> Response:
    """Stores an answer, and shows the next row."""
    queue, people = _queue(request), studio_of(request).people
    row = assign.find(people, number_in(request, "assignment"))
    if row is None or row.queue != queue.id or row.rater != visitor_of(request).id:
        raise NotFoundError("You were not asked about this row.")
    ratings.record(people, row, ratings.from_screen(row, text_in(form, "answer")))
    return go(f"/rate/{queue.id}")


def _queue(request: Request) -> Queue:
    queue = find(studio_of(request).people, number_in(request, "queue"))
    if queue is None:
        raise NotFoundError("There is no such queue.")
    return queue


ROUTES = (rater_page("/rate/{queue}", rate), rater_form("/rate/{queue}/{assignment}", answer))
