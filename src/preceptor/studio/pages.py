"""How a page is made: routes that check who is asking, templates that escape every value, errors in words."""

import hmac
from collections.abc import Callable
from functools import cache
from typing import Any, Literal

from jinja2 import Environment
from starlette.concurrency import run_in_threadpool
from starlette.datastructures import FormData
from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response
from starlette.routing import Route

from preceptor.core.errors import UsageError
from preceptor.store.documents import html_environment
from preceptor.studio.context import studio_of, visitor_of
from preceptor.studio.people import queues
from preceptor.studio.people.queues import Queue
from preceptor.studio.people.raters import Visitor, visitor
from preceptor.studio.text import Renderer, plain

POLLING_ENDS = 286
"""The status that ends htmx's polling."""
Page = Callable[[Request], Response]
Form = Callable[[Request, FormData], Response]


class NotFoundError(Exception):
    """There is no such page; the message says what is missing."""


def owner_page(path: str, page: Page) -> Route:
    """A page that only the owner sees."""
    return Route(path, _getting(page, "owner"), methods=["GET"])


def owner_form(path: str, form: Form) -> Route:
    """A form that only the owner sends."""
    return Route(path, _posting(form, "owner"), methods=["POST"])


def rater_page(path: str, page: Page) -> Route:
    """A page that everybody who is signed in sees."""
    return Route(path, _getting(page, "rater"), methods=["GET"])


def rater_form(path: str, form: Form) -> Route:
    """A form that everybody who is signed in sends."""
    return Route(path, _posting(form, "rater"), methods=["POST"])


def show(request: Request, template: str, *, status: int = 200, **values: Any) -> HTMLResponse:
    """A page from a template of `studio/templates`. Every value is escaped, unless it is Markup.

    Beside the given values, the template knows `visitor` (None if nobody is signed in), `csrf`, `here`, the page's
    path, and `rendered`, which renders Markdown.
    """
    who: Visitor | None = getattr(request.state, "visitor", None)
    common = {"visitor": who, "csrf": who.csrf if who else "", "here": request.url.path, "rendered": Renderer()}
    page = _templates().get_template(template).render(common | values)
    return HTMLResponse(page.encode("utf-8", "replace"), status_code=status)  # a file's name need not be text


def go(path: str) -> RedirectResponse:
    """Sends the browser to another page of the studio, after a form."""
    return RedirectResponse(path, status_code=303)


def number_in(request: Request, name: str) -> int:
    """A number in the path.

    Raises: NotFoundError if it is not a number.
    """
    text = str(request.path_params[name])
    if not text.isascii() or not text.isdigit() or len(text) > 18:
        raise NotFoundError(f"There is no {name} {text[:40]}.")
    return int(text)


def queue_in(request: Request) -> Queue:
    """The queue in the path.

    Raises: NotFoundError if there is none.
    """
    queue = queues.find(studio_of(request).people, number_in(request, "queue"))
    if queue is None:
        raise NotFoundError("There is no such queue.")
    return queue


def text_in(form: FormData, name: str, default: str = "") -> str:
    """The text of a field; what is not valid Unicode in it is replaced."""
    value = form.get(name, default)
    return value.encode("utf-8", "replace").decode() if isinstance(value, str) else default


def integer_in(form: FormData, name: str, default: int) -> int:
    """The whole number of a field.

    Raises: UsageError if it is not a whole number.
    """
    text = text_in(form, name).strip() or str(default)
    try:
        return int(text if len(text) < 20 else "")
    except ValueError:
        raise UsageError(f"{name.replace('_', ' ')}: expected a whole number, got {text[:40]!r}") from None


def _getting(page: Page, who: Literal["owner", "rater"]) -> Page:
    def get(request: Request) -> Response:
        return _refusal(request, who) or page(request)

    return get


def _posting(form: Form, who: Literal["owner", "rater"]) -> Any:
    async def post(request: Request) -> Response:
        refusal = await run_in_threadpool(_refusal, request, who)
        if refusal is not None:
            return refusal
        async with request.form(max_files=4, max_fields=2000, max_part_size=4 << 20) as sent:
            given = request.headers.get("x-csrf") or text_in(sent, "csrf")
            if not _same(given, visitor_of(request).csrf):
                return problem(request, 403, "This form has expired. Load the page again and repeat what you did.")
            return await run_in_threadpool(form, request, sent)

    return post


def _refusal(request: Request, who: Literal["owner", "rater"]) -> Response | None:
    """Why this visitor does not see a page; None if they do. Remembers who is asking."""
    session = request.cookies.get(cookie(request))
    request.state.visitor = visitor(studio_of(request).people, session) if session else None
    if request.state.visitor is None:
        return problem(request, 401, "Sign in with your invitation link. The owner's link is in the studio's terminal.")
    if who == "owner" and not request.state.visitor.owner:
        return problem(request, 403, "Only the owner of this studio sees this page.")
    return None


def cookie(request: Request) -> str:
    """The name of the cookie that holds the session. Browsers send a cookie to every port of a machine, so it has the
    port in it, for several studios at once.
    """
    return f"preceptor_studio_{request.url.port or ''}"


def problem(request: Request, status: int, message: str) -> Response:
    """A page that says what went wrong and what to do."""
    return show(request, "problem.html.jinja", status=status, message=message)


def _same(given: str, expected: str) -> bool:
    return hmac.compare_digest(given.encode(), expected.encode())


@cache
def _templates() -> Environment:
    made = html_environment("preceptor.studio.templates")
    made.filters["plain"] = plain
    return made
