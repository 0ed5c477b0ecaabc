"""The HTTP of LiteLLM, replaced by ours: bounded bodies, no redirects elsewhere, no requests sent twice unseen."""

from contextvars import ContextVar
from dataclasses import dataclass
from functools import lru_cache
from typing import Any
from urllib.parse import urlsplit

import httpx

from preceptor.backends.litellm.library import part
from preceptor.backends.openai.address import Address
from preceptor.backends.openai.http import Connections, proxy_for
from preceptor.backends.openai.transport import NoAnswerError, RedirectedError, StatusError, UnreadableError

_Handler: Any = part("llms.custom_httpx.http_handler").AsyncHTTPHandler


@dataclass
class Attempt:
    """What became of the request that LiteLLM sent for one attempt at a call."""

    answered: bool = False
    """Whether an answer with status 200 came, which is billed whatever LiteLLM makes of it."""
    error: StatusError | NoAnswerError | UnreadableError | RedirectedError | None = None


current: ContextVar[Attempt] = ContextVar("attempt")
"""The attempt that is under way in this task."""


class BoundedHandler(_Handler):
    """What LiteLLM sends requests with. The outcome of each is noted in `current`: LiteLLM itself guesses what an error
    means from its words, some of which a candidate may have written.
    """

    def __init__(self, connections: Connections) -> None:
        self._connections = connections
        super().__init__()

    def create_client(self, *_: Any, **__: Any) -> httpx.AsyncClient:
        """A client that is never used."""
        return httpx.AsyncClient(verify=False, trust_env=False)  # noqa: S501

    async def post(
        self,
        url: str,
        data: Any = None,
        json: Any = None,
        params: Any = None,
        headers: Any = None,
        timeout: Any = None,
        stream: bool = False,
        logging_obj: Any = None,
        files: Any = None,
        content: Any = None,
    ) -> httpx.Response:
        """Sends one request, and reads the answer to its end."""
        attempt = current.get()
        plain = isinstance(data, str | bytes)
        request = httpx.Request(
            "POST",
            url,
            params=params,
            headers=headers,
            data=None if plain else data,
            content=data if plain else content,
            json=json,
            files=files,
        )
        kept = {name: value for name, value in request.headers.items() if name not in ("host", "content-length")}
        kept |= {"accept-encoding": "gzip", "user-agent": "preceptor"}
        try:
            whole = str(request.url)
            body = await self._connections.fetch(whole, await request.aread(), kept, _proxy(_origin(whole)))
        except (StatusError, NoAnswerError, UnreadableError, RedirectedError) as error:
            attempt.error = error
            raise
        attempt.answered = True
        return httpx.Response(200, headers={"content-type": "application/json"}, content=body, request=request)


def _origin(url: str) -> str:
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc}"


@lru_cache(maxsize=64)
def _proxy(origin: str) -> str | None:
    return proxy_for(Address("", origin))
