"""Calls to a server: retried where that can help, within the rate limits, and never showing the key."""

import asyncio
import os
import random
import re
import time
from email.utils import parsedate_to_datetime
from typing import Any, TypeVar

from aiolimiter import AsyncLimiter
from openai import APIConnectionError, APIStatusError, APITimeoutError, AsyncOpenAI, Timeout
from pydantic import BaseModel, ValidationError

from preceptor.backends.connection import Connection
from preceptor.backends.openai.address import Address
from preceptor.core.errors import PreceptorError, UsageError
from preceptor.core.types import JudgeFailure

FIRST_WAIT_S = 0.5
"""Before the first retry; doubled before each further one."""
LONGEST_WAIT_S = 120.0
"""A server that asks for more patience than this is given up."""
NO_KEY = "none"
"""Sent where there is no key: local servers want none."""

Shape = TypeVar("Shape", bound=BaseModel)


class RefusedError(Exception):
    """The server will not take this request, now or later."""

    def __init__(self, status: int, words: str) -> None:
        super().__init__(f"{status}: {words}")
        self.status = status

    @property
    def failure(self) -> JudgeFailure:
        """The failure of the request."""
        too_long = re.search(r"context.{0,40}(length|size|window)|too long|max_model_len", str(self), re.IGNORECASE)
        too_long = too_long or self.status == 413
        return JudgeFailure(reason="prompt_too_long" if too_long else "refused", detail=str(self)[:300])


class UnavailableError(Exception):
    """A call did not get through, in all its attempts."""

    @property
    def failure(self) -> JudgeFailure:
        """The failure of the request."""
        return JudgeFailure(reason="backend_error", detail=str(self)[:300])


def key_for(address: Address) -> str:
    """The key that a server is sent, from the environment; empty where there is none.

    Raises: UsageError for a key that no HTTP header can hold, without showing it.
    """
    key = os.environ.get(address.key_variable, "").strip()
    if not all(" " < c <= "~" for c in key):
        raise UsageError(
            f"the environment variable {address.key_variable} holds no key: expected printable ASCII letters"
        )
    return key


class Client:
    """A pool of connections to one server."""

    def __init__(self, address: Address, connection: Connection) -> None:
        self._address = address
        self._retries = connection.retries
        self._timeout_s = connection.timeout_s
        self._key = key_for(address) or NO_KEY
        # The library could retry by itself, but not what is no answer, and past the rate limits. So all of it is here.
        self._openai = AsyncOpenAI(
            api_key=self._key,
            base_url=address.base_url,
            max_retries=0,
            timeout=Timeout(connection.timeout_s, connect=min(10.0, connection.timeout_s)),
        )
        per_minute, tokens = connection.requests_per_minute, connection.tokens_per_minute
        self._requests = AsyncLimiter(1, 60.0 / per_minute) if per_minute else None
        self._tokens = AsyncLimiter(tokens, 60.0) if tokens else None
        self.close = self._openai.close

    async def call(
        self,
        path: str,
        shape: type[Shape],
        body: dict[str, Any] | None = None,
        *,
        tokens: int = 0,
        patient: bool = True,
    ) -> Shape:
        """Sends a body (or gets, without one) and reads the answer.

        Args:
            tokens: how many the call may take, for the rate limit.
            patient: whether a server that cannot be reached is tried again.

        Raises: RefusedError, UnavailableError; PreceptorError when the server takes no call at all with this key.
        """
        text = trouble = ""
        for attempt in range(self._retries + 1):
            await self._within_limits(tokens)
            wait_s = min(FIRST_WAIT_S * 2**attempt, LONGEST_WAIT_S) * random.uniform(0.5, 1.0)  # noqa: S311
            try:
                if body is None:
                    text = await self._openai.get(path, cast_to=str)
                else:
                    text = await self._openai.post(path, cast_to=str, body=body)
                return shape.model_validate_json(text)
            except ValidationError:
                trouble = f"what came is no answer of this API: {self.shown(text)[:80]!r}"
            except APIConnectionError as error:
                trouble = self._connection_trouble(error)
                if not patient:
                    break
            except APIStatusError as error:
                trouble = self._status_trouble(error)
                wait_s = _asked_wait(error) or wait_s
                if wait_s > LONGEST_WAIT_S:
                    trouble += f" (the server asks to wait {wait_s:.0f} s)"
                    break
            if attempt < self._retries:
                await asyncio.sleep(wait_s)
        raise UnavailableError(trouble)

    async def _within_limits(self, tokens: int) -> None:
        if self._requests:
            await self._requests.acquire()
        if self._tokens:
            await self._tokens.acquire(min(float(tokens), self._tokens.max_rate))

    def _connection_trouble(self, error: APIConnectionError) -> str:
        if isinstance(error, APITimeoutError):
            return f"no answer within {self._timeout_s:g} s"
        return f"no connection: {self.shown(str(error.__cause__ or error))[:120] or type(error.__cause__).__name__}"

    def _status_trouble(self, error: APIStatusError) -> str:
        """What a status that may pass says.

        Raises: RefusedError where it will not pass; PreceptorError where it concerns every call.
        """
        status = error.status_code
        words = self.shown(_words(error))[:200]
        if status == 401:  # the words may quote a part of the key
            raise PreceptorError(
                f"{self._address.base_url} refuses the key ({status}); "
                + ("set" if self._key == NO_KEY else "check")
                + f" the environment variable {self._address.key_variable}"
            )
        if status == 403:
            raise PreceptorError(f"{self._address.base_url} forbids this key the use of {self._address.name}: {words}")
        if status == 402 or "insufficient_quota" in words:
            raise PreceptorError(f"{self._address.base_url} wants to be paid before it answers: {words}")
        if status in (408, 409, 429) or status >= 500:
            return f"{status}: {words}"
        raise RefusedError(status, words)

    def shown(self, text: str) -> str:
        """A server's words on one line, without the key."""
        if self._key != NO_KEY:
            text = text.replace(self._key, "***")
        visible = "".join(c if c.isprintable() else " " for c in re.sub(r"\bsk-[\w*.-]+", "***", text))
        return " ".join(visible.split())


def _words(error: APIStatusError) -> str:
    body: Any = error.body
    if isinstance(body, dict):
        return " ".join(str(body[key]) for key in ("message", "code") if body.get(key)) or str(body)
    return str(body or error.response.reason_phrase)


def _asked_wait(error: APIStatusError) -> float | None:
    """Seconds to wait by the header Retry-After: a number, or a date."""
    asked = error.response.headers.get("retry-after")
    if asked is None:
        return None
    try:
        seconds = float(asked)
    except ValueError:
        try:
            seconds = parsedate_to_datetime(asked).timestamp() - time.time()
        except ValueError:
            return None
    return seconds if seconds > 0 else None  # also without NaN
