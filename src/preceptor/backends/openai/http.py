"""HTTP with limits: on the size of a body, on time, and on redirects, which must not leave the server."""

import asyncio
import json
import re
import time
import zlib
from collections.abc import AsyncGenerator, Generator, Mapping
from contextlib import contextmanager
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Any
from urllib.parse import urljoin, urlsplit
from urllib.request import getproxies, proxy_bypass

import aiohttp
from pydantic_core import from_json, to_json

from preceptor.backends.connection import Connection
from preceptor.backends.openai.address import Address
from preceptor.backends.openai.keys import headers_for
from preceptor.backends.openai.transport import NoAnswerError, RedirectedError, StatusError, UnreadableError
from preceptor.core.errors import UsageError
from preceptor.core.types import JsonObject

MOST_BYTES = 4 << 20
"""Limit of one answer, decompressed. A usual answer has a few thousand bytes; a long list of models about a million."""
MOST_TRANSFERRED = 2 << 30
"""Limit of a downloaded file."""
TRANSFER_S = 1800.0
"""Time limit of sending or fetching a file of hundreds of megabytes."""
MOST_REDIRECTS = 3
LONGEST_CONNECTING_S = 10.0
_COMPRESSED = ("gzip", "x-gzip", "deflate")
_JSON = {"Content-Type": "application/json"}
_REDIRECTS = (301, 302, 303, 307, 308)
_KEEP_METHOD = (307, 308)
_PORTS = {"http": 80, "https": 443}


class HttpTransport:
    """One server over HTTP."""

    def __init__(self, address: Address, connection: Connection, key: str) -> None:
        """Raises: UsageError for a proxy of an unknown kind."""
        self._base_url = address.base_url
        self._headers = headers_for(address, key)
        self._proxy = proxy_for(address)
        self._connections = Connections(connection.timeout_s)
        self.close = self._connections.close

    async def send(self, path: str, body: JsonObject | None) -> bytes:
        """As `Transport.send`."""
        content = None if body is None else encoded(body)
        return await self._connections.fetch(self._base_url + path, content, self._headers | _JSON, self._proxy)

    async def upload(self, path: str, fields: dict[str, str], file: Path) -> bytes:
        """Sends a form with a file. Raises: as `send`."""
        return await self._connections.upload(self._base_url + path, fields, file, self._headers, self._proxy)

    async def download(self, path: str, file: Path) -> None:
        """Writes what the server answers into a file. Raises: as `send`."""
        await self._connections.download(self._base_url + path, file, self._headers, self._proxy)


class Connections:
    """A pool of HTTP connections. How many are open at once is the caller's business.

    No cookies are kept, nothing is read from `.netrc`, and of an answer's headers only those are read that are named
    here. Certificates are checked against those of the system.
    """

    def __init__(self, timeout_s: float) -> None:
        """Args:
        timeout_s: seconds for one attempt, from connecting to the end of the answer.
        """
        self._timeout_s = timeout_s
        self._opened: aiohttp.ClientSession | None = None

    async def fetch(self, url: str, content: bytes | None, headers: Mapping[str, str], proxy: str | None) -> bytes:
        """The body of an answer with status 2xx: of a POST of the content, or of a GET if there is none.

        Raises: StatusError, NoAnswerError, UnreadableError, RedirectedError.
        """
        with _faults(self._timeout_s):
            async with asyncio.timeout(self._timeout_s):  # the whole of it: a body could trickle in for ever
                return await self._followed(url, content, headers, proxy)

    async def upload(
        self, url: str, fields: Mapping[str, str], file: Path, headers: Mapping[str, str], proxy: str | None
    ) -> bytes:
        """Sends a form with a file. Raises: as `fetch`."""
        with _faults(TRANSFER_S), file.open("rb") as stream:
            form = aiohttp.FormData(fields)
            form.add_field("file", stream, filename=file.name, content_type="application/jsonl")
            async with asyncio.timeout(TRANSFER_S):
                return await self._followed(url, form, headers, proxy)

    async def download(self, url: str, file: Path, headers: Mapping[str, str], proxy: str | None) -> None:
        """Writes the body of an answer into a file. Redirects are not followed. Raises: as `fetch`."""
        with _faults(TRANSFER_S):
            request = self._session.get(url, headers=headers, allow_redirects=False, proxy=proxy)
            async with asyncio.timeout(TRANSFER_S), request as response:
                if response.status != 200:
                    words = _words(await _body(response))
                    raise StatusError(response.status, words, asked_wait(response.headers.get("retry-after")))
                with file.open("wb") as stream:
                    async for part in _decompressed(response, MOST_TRANSFERRED):
                        stream.write(part)

    async def close(self) -> None:
        """Closes the connections."""
        if self._opened is not None:
            await self._opened.close()

    @property
    def _session(self) -> aiohttp.ClientSession:
        """The session, which belongs to the running event loop."""
        if self._opened is None:
            connecting = min(LONGEST_CONNECTING_S, 0.9 * self._timeout_s)
            self._opened = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(limit=0),
                timeout=aiohttp.ClientTimeout(total=None, connect=connecting),
                cookie_jar=aiohttp.DummyCookieJar(),
                auto_decompress=False,
            )
        return self._opened

    async def _followed(
        self, url: str, content: bytes | aiohttp.FormData | None, headers: Mapping[str, str], proxy: str | None
    ) -> bytes:
        """The body behind redirects. A redirect is followed only if it stays on the same server (scheme, host and port)
        and keeps the method: a POST that becomes a GET is a different request.
        """
        method, start, status = "GET" if content is None else "POST", url, 0
        for _ in range(MOST_REDIRECTS + 1):
            request = self._session.request(
                method, url, data=content, headers=headers, allow_redirects=False, proxy=proxy
            )
            async with request as response:
                status = response.status
                place = response.headers.get("location") if status in _REDIRECTS else None
                answer = await _body(response)
                if place is None:
                    if 200 <= status < 300:
                        return answer
                    wait_s = asked_wait(response.headers.get("retry-after")) or _retry_delay(answer)
                    raise StatusError(status, _words(answer) or str(response.reason), wait_s)
            url = urljoin(url, place)
            again = content is None or (isinstance(content, bytes) and status in _KEEP_METHOD)
            if _origin(url) != _origin(start) or not again:
                break
        raise RedirectedError(status, urlsplit(url)._replace(query="", fragment="").geturl())


@contextmanager
def _faults(limit_s: float) -> Generator[None]:
    """Within the context, faults of the connection are raised as `NoAnswerError`."""
    try:
        yield
    except aiohttp.ConnectionTimeoutError as error:
        raise NoAnswerError(f"no connection: {error}", reached=False) from None
    except TimeoutError:
        raise NoAnswerError(f"no whole answer within {limit_s:g} s", late=True) from None
    except (aiohttp.ClientConnectorError, aiohttp.ClientHttpProxyError) as error:
        cause = getattr(error, "os_error", error)
        raise NoAnswerError(f"no connection: {cause}", reached=False) from None
    except (aiohttp.ClientError, ConnectionError, ValueError) as error:
        sent = not isinstance(error, aiohttp.ClientConnectionResetError)
        raise NoAnswerError(f"no connection: {error or type(error).__name__}", sent=sent) from None


def proxy_for(address: Address) -> str | None:
    """The proxy that the environment names for a server; none for a server on this machine.

    Raises: UsageError for one that does not speak HTTP.
    """
    url = urlsplit(address.base_url)
    if address.loopback or proxy_bypass(url.hostname or ""):
        return None
    proxies = getproxies()
    proxy = proxies.get(url.scheme) or proxies.get("all")
    if proxy and urlsplit(proxy).scheme not in _PORTS:
        raise UsageError(
            f"the environment names a {urlsplit(proxy).scheme or 'nameless'} proxy for {address.base_url}; expected "
            f"http://HOST:PORT in {url.scheme.upper()}_PROXY, or the server in NO_PROXY"
        )
    return proxy or None


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


def _retry_delay(content: bytes) -> float | None:
    """Seconds to wait according to the body of a Google API's error."""
    found = re.search(rb'"retryDelay"\s*:\s*"(\d{1,9}(?:\.\d+)?)s"', content)
    return float(found[1]) or None if found else None


def encoded(body: JsonObject) -> bytes:
    """The body as JSON in UTF-8."""
    try:
        return to_json(body, inf_nan_mode="constants")
    except ValueError:  # half of a surrogate pair, which JSON can hold only as an escape
        return json.dumps(body).encode()


def _origin(url: str) -> tuple[str, str | None, int | None]:
    parts = urlsplit(url)
    return parts.scheme, parts.hostname, parts.port or _PORTS.get(parts.scheme)


def _words(content: bytes) -> str:
    """The message of an error, with its code."""
    try:
        body: Any = from_json(content)
    except ValueError:
        return content.decode("utf-8", "replace").strip()
    error: Any = body.get("error", body) if isinstance(body, dict) else body
    if isinstance(error, dict):
        return " ".join(str(error[key]) for key in ("message", "code") if error.get(key)) or str(error)
    return str(error or "")


async def _body(response: aiohttp.ClientResponse) -> bytes:
    """The body, decompressed as it comes, so that it is never larger than the limit in memory."""
    return b"".join([part async for part in _decompressed(response, MOST_BYTES)])


async def _decompressed(response: aiohttp.ClientResponse, most: int) -> AsyncGenerator[bytes]:
    """The parts of a body, decompressed as they come.

    Raises: UnreadableError when they have more than `most` bytes, or cannot be decompressed.
    """
    encoding = response.headers.get("content-encoding", "identity").strip().lower()
    if encoding not in ("", "identity", *_COMPRESSED):
        raise UnreadableError(f"the answer is compressed as {encoding!r}; gzip was offered")
    decoder = zlib.decompressobj(wbits=47) if encoding in _COMPRESSED else None  # 47: gzip or zlib, whichever it is
    size = 0
    async for raw in response.content.iter_any():
        try:
            part = decoder.decompress(raw, most + 1 - size) if decoder else raw
        except zlib.error:
            raise UnreadableError("the answer cannot be decompressed") from None
        size += len(part)
        if size > most:
            raise UnreadableError(f"the answer has more than {most >> 20} MiB")
        yield part
    if size and decoder and (not decoder.eof or decoder.unused_data.strip(b"\0")):
        raise UnreadableError("the answer cannot be decompressed: it is cut, or has several parts")
