"""HTTP with limits: on the size of a body, and on redirects, which must not leave the server."""

import asyncio
import time
import zlib
from email.utils import parsedate_to_datetime
from typing import Any, cast

from openai import (
    APIConnectionError,
    APIStatusError,
    APITimeoutError,
    AsyncOpenAI,
    DefaultAsyncHttpxClient,
    Timeout,
)

from preceptor.backends.connection import Connection
from preceptor.backends.openai.address import Address
from preceptor.backends.openai.keys import headers_elsewhere
from preceptor.backends.openai.transport import NoAnswerError, RedirectedError, StatusError, UnreadableError
from preceptor.core.types import JsonObject

MOST_BYTES = 4 << 20
"""Limit of one answer, decompressed. A usual answer has a few thousand bytes; a long list of models about a million."""
MOST_REDIRECTS = 3
_COMPRESSED = ("gzip", "x-gzip", "deflate")
_KEPT_HEADERS = ("retry-after", "x-request-id")


class HttpTransport:
    """A pool of HTTP connections to one server."""

    def __init__(self, address: Address, connection: Connection, key: str) -> None:
        self._timeout_s = connection.timeout_s
        # Retries are made by the caller: the library retries no unusable answers, and ignores the rate limits.
        self._openai = AsyncOpenAI(
            api_key=key,
            base_url=address.base_url,
            max_retries=0,
            timeout=Timeout(connection.timeout_s, connect=min(10.0, 0.9 * connection.timeout_s)),
            default_headers=None if address.hosted else cast("dict[str, str]", headers_elsewhere(key)),
            # A proxy is used only for other machines.
            http_client=BoundedClient(headers={"Accept-Encoding": "gzip"}, trust_env=not address.loopback),
        )
        self.close = self._openai.close

    async def send(self, path: str, body: JsonObject | None) -> bytes:
        """As `Transport.send`."""
        try:
            # httpx limits each pause, not the total: a body could trickle in for ever.
            async with asyncio.timeout(self._timeout_s):
                if body is None:
                    text = await self._openai.get(path, cast_to=str)
                else:
                    text = await self._openai.post(path, cast_to=str, body=body)
        except TimeoutError:
            raise self._late(sent=True) from None
        except APIConnectionError as error:
            raise self._connection_trouble(error) from None
        except APIStatusError as error:
            wait_s = asked_wait(error.response.headers.get("retry-after"))
            raise StatusError(error.status_code, _words(error), wait_s) from None
        return text.encode("utf-8", "replace")

    def _late(self, *, sent: bool) -> NoAnswerError:
        return NoAnswerError(f"no whole answer within {self._timeout_s:g} s", sent=sent)

    def _connection_trouble(self, error: APIConnectionError) -> NoAnswerError:
        kind = type(error.__cause__).__name__  # of httpx or httpx2, depending on the version of openai
        reached = kind not in ("ConnectError", "ConnectTimeout")
        sent = kind not in ("PoolTimeout", "WriteError", "WriteTimeout")
        if isinstance(error, APITimeoutError) and reached:
            return self._late(sent=sent)
        return NoAnswerError(f"no connection: {error.__cause__ or error or kind}", reached=reached, sent=sent)


def asked_wait(header: str | None) -> float | None:
    """Seconds to wait according to the header Retry-After: a number, or a date."""
    if header is None:
        return None
    try:
        seconds = float(header)
    except ValueError:
        try:
            seconds = parsedate_to_datetime(header).timestamp() - time.time()
        except (ValueError, OverflowError, TypeError):
            return None
    return seconds if seconds > 0 else None  # excludes NaN


def _words(error: APIStatusError) -> str:
    body: Any = error.body
    if isinstance(body, dict):
        return " ".join(str(body[key]) for key in ("message", "code") if body.get(key)) or str(body)
    return str(body or error.response.reason_phrase)


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
