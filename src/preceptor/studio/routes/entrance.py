"""Signing in by an invitation link, and signing out."""

from starlette.datastructures import FormData
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from preceptor.studio.context import studio_of
from preceptor.studio.pages import COOKIE, go, problem, rater_form
from preceptor.studio.people.raters import sign_in, sign_out

_YEAR = 365 * 24 * 3600


def enter(request: Request) -> Response:
    """Signs in whoever has the link."""
    session = sign_in(studio_of(request).people, str(request.path_params["token"]))
    if session is None:
        return problem(request, 403, "This link is not valid, or no longer. Ask the owner for a new one.")
    response = go("/")
    secure = request.url.scheme == "https"
    response.set_cookie(COOKIE, session, max_age=_YEAR, httponly=True, samesite="lax", secure=secure)
    return response


def leave(request: Request, _form: FormData) -> Response:
    """Signs out."""
    sign_out(studio_of(request).people, request.cookies[COOKIE])
    response = problem(request, 200, "You are signed out. Your invitation link signs you in again.")
    response.delete_cookie(COOKIE)
    return response


ROUTES = (Route("/enter/{token}", enter, methods=["GET"]), rater_form("/leave", leave))
