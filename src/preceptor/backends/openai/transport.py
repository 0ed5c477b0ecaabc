"""HTTP with limits: on the size of a body, and on redirects, which must not leave the server."""

import zlib
from typing import Any

from openai import DefaultAsyncHttpxClient

MOST_BYTES = 4 << 20
"""Limit of one answer, decompressed. A usual answer has a few thousand bytes; a long list of models about a million."""
MOST_REDIRECTS = 3
_COMPRESSED = ("gzip", "x-gzip", "deflate")
_KEPT_HEADERS = ("retry-after", "x-request-id")


class UnreadableError(Exception):
    """The body is too large, cannot be decompressed, or is compressed in a way that was not offered."""


class RedirectedError(Exception):
    """The server redirects in a way that is not followed."""

    def __init__(self, status: int, place: str) -> None:
        super().__init__(f"{status}: the server redirects to {place}")
        self.status = status


class BoundedClient(DefaultAsyncHttpxClient):
    """The library's HTTP client, except that every body is read here, including those of errors.

    A redirect is followed only if it stays on the same server (scheme, host and port) and keeps the method: a POST that
    becomes a GET is a different request. Only the headers that are used are kept. Others could do harm, such as a
    character set that names a decompressor.
    """

    async def send(self, request: Any, **options: Any) -> Any:
        """As in httpx, but reads the whole body.

        Raises: UnreadableError, RedirectedError; also whatever httpx raises.
        """
        options |= {"stream": True, "follow_redirects": False}
        redirects = 0
        while True:
            response: Any = await super().send(request, **options)
            try:
                following: Any = response.next_request
                if following is None:
                    return _rebuilt(response, await _body(response), request)
            finally:
                await response.aclose()
            elsewhere = _origin(following.url) != _origin(request.url) or following.method != request.method
            if elsewhere or redirects == MOST_REDIRECTS:
                raise RedirectedError(response.status_code, f"{_origin(following.url)}{following.url.path}")
            request, redirects = following, redirects + 1


def _origin(url: Any) -> str:
    return f"{url.scheme}://{url.netloc.decode('ascii', 'replace')}"


async def _body(response: Any) -> bytes:
    """The body, decompressed as it comes, so that it is never larger than the limit in memory."""
    encoding = response.headers.get("content-encoding", "identity").strip().lower()
    if encoding not in ("", "identity", *_COMPRESSED):
        raise UnreadableError(f"the answer is compressed as {encoding!r}; gzip was offered")
    decoder = zlib.decompressobj(wbits=47) if encoding in _COMPRESSED else None  # 47: gzip or zlib, whichever it is
    body = bytearray()
    async for raw in response.aiter_raw():
        try:
            body += decoder.decompress(raw, MOST_BYTES + 1 - len(body)) if decoder else raw
        except zlib.error:
            raise UnreadableError("the answer cannot be decompressed") from None
        if len(body) > MOST_BYTES:
            raise UnreadableError(f"the answer has more than {MOST_BYTES >> 20} MiB")
    return bytes(body)


def _rebuilt(response: Any, body: bytes, request: Any) -> Any:
    """The response with its body, which is read as JSON in UTF-8 whatever its headers say."""
    kept = {name: response.headers[name] for name in _KEPT_HEADERS if name in response.headers}
    headers = {**kept, "content-type": "application/json"}
    return type(response)(response.status_code, headers=headers, content=body, request=request)
