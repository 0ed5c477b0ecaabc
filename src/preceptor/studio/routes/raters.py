"""Raters for the owner: invitations, and who rated how much."""

from collections.abc import Sequence

from starlette.datastructures import FormData
from starlette.requests import Request
from starlette.responses import Response

from preceptor.core.errors import UsageError
from preceptor.evaluation.intervals import Estimate
from preceptor.studio.context import studio_of
from preceptor.studio.pages import NotFoundError, go, number_in, owner_form, owner_page, show, text_in
from preceptor.studio.people import raters
from preceptor.studio.people.activity import Activity, activity
from preceptor.studio.people.queues import Queue, queues

_MOST_QUEUES = 10
"""Queues, the newest first, whose agreement is shown."""


def everybody(request: Request) -> Response:
    """All raters."""
    return _page(request)


def invite(request: Request, form: FormData) -> Response:
    """Adds a rater, and shows their link this once."""
    name = " ".join(text_in(form, "name").split())
    known = next((rater for rater in activity(studio_of(request).people) if rater.name == name), None)
    if known is not None and known.state == "active":
        raise UsageError(f'"{name}" is invited already; make them a new link, or choose another name')
    return _page(request, name, raters.invite(studio_of(request).people, name))


def renew(request: Request, _form: FormData) -> Response:
    """Gives a rater a new link and shows it this once; the earlier one no longer signs in."""
    rater = _rater(request)
    return _page(request, rater.name, raters.invite(studio_of(request).people, rater.name))


def revoke(request: Request, _form: FormData) -> Response:
    """Ends a rater's link and sessions."""
    raters.revoke(studio_of(request).people, _rater(request).id)
    return go("/raters")


def _page(request: Request, invited: str = "", token: str | None = None) -> Response:
    """The list of raters; with the link of one of them after an invitation. Nothing stores or logs the link."""
    link = None if token is None else f"{request.base_url}enter/{token}"
    people = studio_of(request).people
    agreeing = _agreeing(request, queues(people)[:_MOST_QUEUES])
    return show(request, "raters.html.jinja", raters=activity(people), invited=invited, link=link, agreeing=agreeing)


def _agreeing(request: Request, listed: Sequence[Queue]) -> dict[tuple[int, int], Estimate]:
    """How often each rater agrees with the majority of the others, by rater and queue."""
    measurements = studio_of(request).measurements
    rated = [(queue, measurements.of(queue).quality.raters) for queue in listed]
    return {
        (rater.rater, queue.id): rater.with_others
        for queue, raters_of_queue in rated
        for rater in raters_of_queue
        if rater.with_others is not None
    }


def _rater(request: Request) -> Activity:
    number = number_in(request, "rater")
    found = next((rater for rater in activity(studio_of(request).people) if rater.id == number), None)
    if found is None or found.owner:
        raise NotFoundError("There is no such rater.")
    return found


ROUTES = (
    owner_page("/raters", everybody),
    owner_form("/raters", invite),
    owner_form("/raters/{rater}/link", renew),
    owner_form("/raters/{rater}/revoke", revoke),
)
