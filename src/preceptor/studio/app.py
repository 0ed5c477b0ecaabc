"""The web application: routes, guard and error pages."""

from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from importlib.resources import files

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import BaseRoute, Route

from preceptor.core.errors import PreceptorError, UsageError
from preceptor.studio.context import Studio
from preceptor.studio.log import LOG
from preceptor.studio.pages import NotFoundError, problem
from preceptor.studio.routes import cohorts, constitutions, entrance, exchange, queues, rate, raters, rows, runs, start
from preceptor.studio.security import BodyTooLargeError, Guard
from preceptor.studio.text import code_styles

_KINDS = {"css": "text/css; charset=utf-8", "js": "text/javascript; charset=utf-8", "svg": "image/svg+xml"}
ROUTES: tuple[BaseRoute, ...] = (
    *entrance.ROUTES,
    *start.ROUTES,
    *rate.ROUTES,
    *queues.ROUTES,
    *exchange.ROUTES,
    *raters.ROUTES,
    *runs.ROUTES,
    *constitutions.ROUTES,
    *rows.ROUTES,
    *cohorts.ROUTES,
)
"""Every page. The groups come from `routes/`."""


def application(studio: Studio, *, hosts: Sequence[str] | None = None) -> Starlette:
    """The application, as a server runs it. While it is served, the files of people's rows follow their ratings, and
    the rows in the folders are indexed.

    Args:
        hosts: names under which it may be reached; None for any.
    """

    @asynccontextmanager
    async def serving(_app: Starlette) -> AsyncGenerator[None]:
        studio.start()
        yield
        await run_in_threadpool(studio.stop)

    app = Starlette(
        lifespan=serving,
        routes=[*ROUTES, Route("/static/{file}", _static)],
        middleware=[Middleware(Guard, hosts=hosts)],
        exception_handlers={
            NotFoundError: _missing,
            HTTPException: _refused,
            UsageError: _wrong,
            PreceptorError: _failed,
            OSError: _unusable,
            BodyTooLargeError: _large,
            Exception: _fault,
        },
    )
    app.state.studio = studio
    return app


def _static(request: Request) -> Response:
    """A file of `studio/static`, or a style sheet that is made: the reports' and that of highlighted code."""
    name = str(request.path_params["file"])
    headers = {"cache-control": "private, max-age=3600"}
    if name == "code.css":
        return Response(code_styles(), media_type=_KINDS["css"], headers=headers)
    if name == "report.css":
        return Response(_report_styles(), media_type=_KINDS["css"], headers=headers)
    folder = files("preceptor.studio") / "static"
    known = {entry.name: entry for entry in folder.iterdir() if entry.is_file()}
    if name not in known or name.rsplit(".", 1)[-1] not in _KINDS:
        return PlainTextResponse("There is no such file.", status_code=404)
    return Response(known[name].read_bytes(), media_type=_KINDS[name.rsplit(".", 1)[-1]], headers=headers)


def _report_styles() -> str:
    return (files("preceptor.reports") / "style.css.jinja").read_text(encoding="utf-8")


def _missing(request: Request, error: Exception) -> Response:
    return problem(request, 404, str(error) or "There is no such page.")


def _refused(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    return problem(request, error.status_code, "There is no such page." if error.status_code == 404 else error.detail)


def _wrong(request: Request, error: Exception) -> Response:
    return problem(request, 400, str(error))


def _failed(request: Request, error: Exception) -> Response:
    LOG.error("%s", error)
    lost = "What you sent is not saved: go back and send it again. " if request.method == "POST" else ""
    return problem(request, 500, f"{error}. {lost}Nothing that was saved before is lost.")


def _unusable(request: Request, error: Exception) -> Response:
    """A disk that is full, for instance, while a file is uploaded."""
    assert isinstance(error, OSError)
    return _failed(request, PreceptorError(f"a file cannot be read or written: {error.strerror or error}"))


def _large(request: Request, error: Exception) -> Response:
    return problem(request, 413, "The request is too large.")


def _fault(request: Request, error: Exception) -> Response:
    LOG.error("a bug in preceptor", exc_info=error)
    return problem(request, 500, "This is a bug in preceptor. The studio's terminal has the details.")
