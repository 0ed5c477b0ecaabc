"""Checks every request (its host, its size, that a form comes from this site) and gives every response the headers that
keep a page from loading or running anything but the studio's own files.
"""

from collections.abc import Sequence

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from preceptor.core.listening import without_port

LARGEST_BODY = 32 << 20
"""Bytes of a request; rows that are imported are the largest."""
POLICY = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self'",
        "style-src-elem 'self'",
        "style-src-attr 'unsafe-inline'",  # figures are SVG with style attributes; text from outside keeps none
        "img-src 'self' data:",
        "connect-src 'self'",
        "form-action 'self'",
        "frame-src 'self'",
        "frame-ancestors 'none'",
        "base-uri 'none'",
    )
)
"""Content security policy of every page, except reports, which have their own."""
_HEADERS = {
    "content-security-policy": POLICY,
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "referrer-policy": "same-origin",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "cache-control": "no-store",
}


class Guard:
    """Middleware: refuses foreign hosts, foreign forms and large bodies, and adds headers to every response."""

    def __init__(self, app: ASGIApp, hosts: Sequence[str] | None) -> None:
        """hosts: names under which the studio may be reached, without a port; None for any."""
        self._app = app
        self._hosts = None if hosts is None else frozenset(hosts)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answers or refuses one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        refusal = self._refusal(scope["method"], headers)
        if refusal is not None:
            await PlainTextResponse(refusal, status_code=403)(scope, receive, _with_headers(send))
            return
        if int(headers.get("content-length") or 0) > LARGEST_BODY:
            await PlainTextResponse("The request is too large.", status_code=413)(scope, receive, _with_headers(send))
            return
        await self._app(scope, _limited(receive), _with_headers(send))

    def _refusal(self, method: str, headers: Headers) -> str | None:
        host = headers.get("host", "")
        if self._hosts is not None and without_port(host) not in self._hosts:
            return "The studio is not reached under this name."
        if method in ("GET", "HEAD"):
            return None
        origin = headers.get("origin")
        if origin is not None and origin.split("://")[-1] != host:
            return "The form is from another site."
        if headers.get("sec-fetch-site", "same-origin") not in ("same-origin", "none"):
            return "The form is from another site."
        return None


class BodyTooLargeError(Exception):
    """A body without a length in its headers turned out too large."""


def _limited(receive: Receive) -> Receive:
    left = LARGEST_BODY

    async def limited() -> Message:
        nonlocal left
        message = await receive()
        left -= len(message.get("body", b""))
        if left < 0:
            raise BodyTooLargeError
        return message

    return limited


def _with_headers(send: Send) -> Send:
    async def sending(message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = MutableHeaders(scope=message)
            for name, value in _HEADERS.items():
                headers.setdefault(name, value)
        await send(message)

    return sending
