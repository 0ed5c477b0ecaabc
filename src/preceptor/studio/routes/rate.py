"""Rating: a rater sees one row at a time, without names and verdicts, and answers with one key."""

from typing import Any

from starlette.datastructures import FormData
from starlette.requests import Request
from starlette.responses import Response

from preceptor.core.errors import UsageError
from preceptor.studio.context import studio_of, visitor_of
from preceptor.studio.pages import NotFoundError, go, number_in, queue_in, rater_form, rater_page, show, text_in
from preceptor.studio.people import assign, ratings
from preceptor.studio.people.assign import Assignment
from preceptor.studio.people.pace import pace, seconds_shown
from preceptor.studio.people.queues import Queue, progress
from preceptor.studio.people.shown import shown_row, view_of


def rate(request: Request) -> Response:
    """The row that the rater is asked about next."""
    queue, people, rater = queue_in(request), studio_of(request).people, visitor_of(request).id
    assignment = assign.next_row(people, queue, rater)
    view = request.query_params.get("view", "markdown")
    common: dict[str, Any] = {"queue": queue, "progress": progress(people, queue), "pace": pace(people, queue, rater)}
    if assignment is None:
        return show(request, "rate_done.html.jinja", **common)
    earlier = ratings.taken_back(people, assignment.id)
    return show(
        request,
        "rate_rank.html.jinja" if queue.kind == "rank" else "rate_compare.html.jinja",
        **common,
        assignment=assignment,
        row=shown_row(assignment, view),
        earlier=None if earlier is None else ratings.on_screen(assignment, earlier[0]),
        remarks=ratings.Remarks() if earlier is None else earlier[1],
    )


def answer(request: Request, form: FormData) -> Response:
    """Stores an answer, and shows the next row. An answer counts although its queue was closed in the meantime."""
    queue, people = queue_in(request), studio_of(request).people
    assignment = assign.find(people, number_in(request, "assignment"))
    if assignment is None or assignment.queue != queue.id or assignment.rater != visitor_of(request).id:
        raise NotFoundError("You were not asked about this row.")
    ratings.record(people, assignment, _answer(assignment, form), _remarks(assignment, form))
    return _next(queue, form)


def undo(request: Request, form: FormData) -> Response:
    """Takes back the rater's last answer in this queue, and shows its row again."""
    queue = queue_in(request)
    ratings.undo(studio_of(request).people, queue.id, visitor_of(request).id)
    return _next(queue, form)


def _answer(assignment: Assignment, form: FormData) -> ratings.Answer:
    choice = text_in(form, "answer")
    if choice != "ranking":
        return ratings.from_screen(assignment, choice)
    try:
        ranks = tuple(int(text_in(form, f"rank-{place}")) for place in range(len(assignment.order)))
    except ValueError:
        raise UsageError("every response needs a rank, 1 for the best; equal ranks are ties") from None
    return ratings.ranking_from_screen(assignment, ranks)


def _remarks(assignment: Assignment, form: FormData) -> ratings.Remarks:
    confidence = text_in(form, "confidence")
    return ratings.Remarks(
        reason=text_in(form, "reason").strip(),
        confidence=int(confidence) if confidence in ("1", "2", "3") else None,
        flagged=text_in(form, "flagged") == "yes",
        seconds=round(seconds_shown(assignment), 1),
    )


def _next(queue: Queue, form: FormData) -> Response:
    view = view_of(text_in(form, "view"))
    return go(f"/rate/{queue.id}" + (f"?view={view}" if view != "markdown" else ""))


ROUTES = (
    rater_page("/rate/{queue}", rate),
    rater_form("/rate/{queue}/undo", undo),
    rater_form("/rate/{queue}/{assignment}", answer),
)
