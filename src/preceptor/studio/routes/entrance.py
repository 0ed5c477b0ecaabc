"""Signing in by an invitation link, and signing out."""

from starlette.datastructures import FormData
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from preceptor.studio.context import studio_of
from preceptor.studio.pages import cookie, go, problem, rater_form
from preceptor.studio.people.raters import SESSION, sign_in, sign_out


def enter(request: Request) -> Response:
    """Signs in whoever has the link."""
    token, earlier = str(request.path_params["token"]), request.cookies.get(cookie(request))
    session = sign_in(studio_of(request).people, token, earlier)
    if session is None:
        return problem(request, 403, "This link is not valid, or no longer. Ask the owner for a new one.")
    response = go("/")
    secure = request.url.scheme == "https"
    lasting = int(SESSION.total_seconds())
    response.set_cookie(cookie(request), session, max_age=lasting, httponly=True, samesite="lax", secure=secure)
    return response


def leave(request: Request, _form: FormData) -> Response:
    """Signs out."""
    sign_out(studio_of(request).people, request.cookies[cookie(request)])
    response = problem(request, 200, "You are signed out. Your invitation link signs you in again.")
    response.delete_cookie(cookie(request))
    return response


ROUTES = (Route("/enter/{token}", enter, methods=["GET"]), rater_form("/leave", leave))
