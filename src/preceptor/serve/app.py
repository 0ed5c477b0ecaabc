"""The web application: routes, who may ask, and what is said where something fails."""

import base64
import binascii
import hmac
import logging
import time
import traceback
from collections.abc import Sequence

from starlette.applications import Starlette
from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from preceptor.core.errors import BudgetError, PreceptorError
from preceptor.core.listening import without_port
from preceptor.serve import openapi
from preceptor.serve.bodies import Problem
from preceptor.serve.context import RefusedError, Service
from preceptor.serve.desk import BusyError
from preceptor.serve.routes import OPEN_PATHS, ROUTES

LOG = logging.getLogger("preceptor.serve")
_HEADERS = ((b"cache-control", b"no-store"), (b"x-content-type-options", b"nosniff"))


def application(service: Service, *, hosts: Sequence[str] | None = None) -> Starlette:
    """The application, as a server runs it.

    Args:
        hosts: names under which it may be reached; None for any.
    """
    app = Starlette(
        routes=[*ROUTES, *openapi.ROUTES],
        middleware=[Middleware(Guard, service=service, hosts=hosts)],
        exception_handlers={
            RefusedError: _refused,
            BusyError: _busy,
            BudgetError: _spent,
            PreceptorError: _failed,
            HTTPException: _no_such,
            ClientDisconnect: _gone,
            Exception: _fault,
        },
    )
    app.state.service = service
    return app


class Guard:
    """Middleware: lets in who has the token, refuses foreign hosts, and counts requests."""

    def __init__(self, app: ASGIApp, service: Service, hosts: Sequence[str] | None) -> None:
        self._app = app
        self._service = service
        self._hosts = None if hosts is None else frozenset(hosts)
        self._paths = {route.path for route in ROUTES}
        self._under_way = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answers or refuses one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        begun, status = time.monotonic(), 0

        async def counted(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                message["headers"] = [*message["headers"], *_HEADERS]
            await send(message)

        refusal = self._refusal(scope["path"], Headers(scope=scope))
        self._under_way += 1
        try:
            await (self._app if refusal is None else refusal)(scope, receive, counted)
        finally:
            self._under_way -= 1
            path = self._known(scope["path"])
            self._service.metrics.requests.labels(path, str(status or 500)).inc()
            self._service.metrics.seconds.labels(path).observe(time.monotonic() - begun)

    def _known(self, path: str) -> str:
        """The path as a label of metrics: there are few of them, whatever clients ask for."""
        path = "/v1/openrlhf" if path.startswith("/v1/openrlhf/") else path
        return path if path in self._paths else "other"

    def _refusal(self, path: str, headers: Headers) -> Response | None:
        if self._hosts is not None and without_port(headers.get("host", "")) not in self._hosts:
            return problem(403, "the service is not reached under this name")
        token = self._service.token
        if not (token is None or path in OPEN_PATHS or _carries(headers.get("authorization", ""), token)):
            expected = "expected the header Authorization: Bearer TOKEN"
            return problem(401, expected, headers={"www-authenticate": "Bearer"})
        if path.startswith("/v1/") and self._under_way >= self._service.most_requests:
            return _busy_for(max(desk.wait_s() for desk in self._service.desks.values()))
        return None


def _carries(authorization: str, token: str) -> bool:
    """Whether a header has the token: as a bearer's, or as the password in an address, for clients that send no
    headers of their own.
    """
    scheme, _, given = authorization.partition(" ")
    if scheme.lower() == "basic":
        try:
            given = base64.b64decode(given, validate=True).decode().partition(":")[2]
        except (binascii.Error, UnicodeDecodeError):
            return False
    elif scheme.lower() != "bearer":
        return False
    return hmac.compare_digest(given.strip().encode(), token.encode())


def problem(status: int, error: str, field: str | None = None, headers: dict[str, str] | None = None) -> Response:
    """The answer to a request that is not carried out."""
    body = Problem(error=error, field=field).model_dump_json()
    return Response(body, status, headers, media_type="application/json")


def _refused(_request: Request, error: Exception) -> Response:
    assert isinstance(error, RefusedError)
    wait = {"retry-after": "1"} if error.status == 503 else None
    return problem(error.status, str(error), error.field, wait)


def _busy(_request: Request, error: Exception) -> Response:
    assert isinstance(error, BusyError)
    return _busy_for(error.wait_s)


def _busy_for(seconds: int) -> Response:
    said = f"the queue is full; ask again in {seconds} s"
    return problem(429, said, headers={"retry-after": str(seconds)})


def _spent(_request: Request, _error: Exception) -> Response:
    return problem(402, "the budget of this service allows no further call; what was answered is kept")


def _failed(_request: Request, error: Exception) -> Response:
    LOG.error("%s", error)
    return problem(502, f"the judge's model cannot be asked: {error}", headers={"retry-after": "10"})


def _no_such(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    said = f"there is no {request.url.path[:200]}" if error.status_code == 404 else error.detail
    return problem(error.status_code, said, headers=dict(error.headers or {}))


def _gone(_request: Request, _error: Exception) -> Response:
    return problem(499, "the client has gone")


def _fault(_request: Request, error: Exception) -> Response:
    LOG.error("a bug in preceptor:\n%s", "".join(traceback.format_exception(error)))
    return problem(500, "this is a bug in preceptor; the service's log has the details")
