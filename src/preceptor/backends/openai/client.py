"""Calls to a server: with retries where they can help, within the rate limits, and without ever showing the key."""

import asyncio
import random
import re
import time
from collections.abc import Callable
from typing import Any, Protocol, TypeVar

from aiolimiter import AsyncLimiter
from pydantic import BaseModel, ValidationError
from pydantic_core import from_json

from preceptor.backends.connection import Connection
from preceptor.backends.openai.address import Address
from preceptor.backends.openai.keys import NO_KEY, masked, words_without
from preceptor.backends.openai.limit import Limit
from preceptor.backends.openai.transport import (
    NoAnswerError,
    RedirectedError,
    StatusError,
    Transport,
    UnreadableError,
)
from preceptor.core.errors import PreceptorError
from preceptor.core.types import JsonObject, JudgeFailure
from preceptor.core.validation import first_problem

LONGEST_WAIT_S = 120.0
"""A call is given up if the server asks to wait longer than this."""
LOST_ROUNDS = 2
"""The server is given up after this many times `concurrency` calls in a row without a connection."""
LOST_S = 10.0
"""Seconds between calls to a server that was given up."""
UNREADABLE_RETRIES = 1
"""Retries after an unusable answer, which was paid for; the next one is seldom better."""

LENGTHS = ("max_tokens", "max_completion_tokens")
"""Fields that limit the length of an answer, on which its time depends."""
OVERLOADED = (408, 429, 503, 504, 529)
"""Statuses of a server that has too much to do."""

Shape = TypeVar("Shape", bound=BaseModel)


class RefusedError(Exception):
    """The server rejects this request, and would reject it again."""

    def __init__(self, status: int, words: str) -> None:
        super().__init__(f"{status}: {words}")
        self.status = status

    @property
    def failure(self) -> JudgeFailure:
        """The failure of the request."""
        too_long = re.search(
            r"context.{0,40}(length|size|window)|too long|max_model_len|maximum number of tokens",
            str(self),
            re.IGNORECASE,
        )
        too_long = too_long or self.status == 413
        return JudgeFailure(reason="prompt_too_long" if too_long else "refused", detail=str(self)[:300])


class UnavailableError(Exception):
    """All attempts at a call failed."""

    def __init__(
        self,
        words: str,
        *,
        status: int | None = None,
        reached: bool = True,
        wait_s: float | None = None,
        answer: str | None = None,
        late: bool = False,
    ) -> None:
        super().__init__(words)
        self.overloaded = late or status in OVERLOADED
        """Whether fewer attempts at once would help."""
        self.status = status
        """The HTTP status; None if no answer came, 200 for an unusable answer."""
        self.answer = answer
        """The answer, empty if the connection ended before it; None if nothing was generated, so nothing is billed."""
        self.reached = reached
        """Whether a connection was made."""
        self.wait_s = wait_s or 0.0
        """Seconds that the server asks to wait; 0 if it does not ask."""

    @property
    def failure(self) -> JudgeFailure:
        """The failure of the request."""
        return JudgeFailure(reason="backend_error", detail=str(self)[:300])


class Spending(Protocol):
    """Records every attempt at a call, because failed attempts may be billed too."""

    @property
    def wanted(self) -> bool:
        """Whether anybody still waits for the answer."""
        ...

    def begin(self) -> None:
        """Records that an attempt is about to be sent.

        Raises: UnavailableError when it must not be sent.
        """
        ...

    def lose(self, text: str) -> None:
        """Records an attempt that gave no usable answer, with the text that it did give."""
        ...


class Client:
    """Calls to one server.

    Calls do not wait for a server that is gone: after `LOST_ROUNDS` times `concurrency` calls in a row without a
    connection, all further calls fail at once with the same message, until a call is answered. Every `LOST_S` seconds
    one call is let through to see whether the server is back. Calls with `patient=False` (the first to a server)
    neither count nor fail this way.
    """

    def __init__(
        self,
        address: Address,
        connection: Connection,
        key: str,
        transport: Transport,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Args:
        key: the secret that is sent, which is masked wherever a server repeats it; `NO_KEY` if there is none.
        transport: carries each attempt.
        clock: seconds.
        """
        self._clock = clock
        self._address = address
        self._transport = transport
        self._retries = connection.retries
        self._first_wait_s = connection.first_wait_s
        self._key = key
        self.limit = Limit(connection.concurrency)
        self.sending: set[asyncio.Task[Any]] = set()
        """Tasks whose attempt is with the server."""
        self._lost_calls = 0
        self._lost_words = ""
        self._lost_at = 0.0
        per_minute, tokens = connection.requests_per_minute, connection.tokens_per_minute
        self._requests = AsyncLimiter(1, 60.0 / per_minute) if per_minute else None
        self._tokens = AsyncLimiter(tokens, 60.0) if tokens else None
        self.close = transport.close

    async def call(
        self,
        path: str,
        shape: type[Shape],
        body: JsonObject | None = None,
        *,
        tokens: int = 0,
        patient: bool = True,
        broken_retries: int | None = None,
        spending: Spending | None = None,
    ) -> Shape:
        """Sends a POST with a body, or a GET without one, and reads the answer.

        Args:
            tokens: most tokens of the call, for the rate limit.
            patient: whether to retry if the server cannot be reached.
            broken_retries: retries after status 500, if fewer are wanted than after other failures.
            spending: records failed attempts, which may be billed.

        Raises: RefusedError, UnavailableError; PreceptorError when the server refuses every call with this key.
        """
        attempt = broken = unreadable = 0
        while True:
            await self._within_limits(tokens)
            trouble = await self._once(path, shape, body, spending, patient=patient)
            if not isinstance(trouble, UnavailableError):
                return trouble
            if spending and trouble.answer is not None:
                spending.lose(trouble.answer)
            unreadable += trouble.status == 200
            broken += trouble.status == 500
            hopeless = broken_retries is not None and broken > broken_retries
            hopeless |= trouble.status is None and not patient
            hopeless |= unreadable > UNREADABLE_RETRIES
            hopeless |= spending is not None and not spending.wanted
            if hopeless or attempt == self._retries or trouble.wait_s > LONGEST_WAIT_S:
                break
            backoff_s = min(self._first_wait_s * 2**attempt, LONGEST_WAIT_S) * random.uniform(0.5, 1.0)  # noqa: S311
            await asyncio.sleep(trouble.wait_s or backoff_s)
            attempt += 1
        if patient and not trouble.reached:
            self._lost_calls, self._lost_words = self._lost_calls + 1, str(trouble)
            self._lost_at = self._clock()
        raise trouble

    async def _once(
        self, path: str, shape: type[Shape], body: JsonObject | None, spending: Spending | None, *, patient: bool
    ) -> Shape | UnavailableError:
        """The outcome of one attempt, which another one may better.

        Raises: as `call`; UnavailableError if nothing may be sent.
        """
        entered = await self.limit.enter()
        task = asyncio.current_task()
        assert task is not None
        try:
            if patient and self._given_up():
                raise UnavailableError(self._lost_words)
            if spending:
                spending.begin()
            self.sending.add(task)
            try:
                answer = await self._attempt(path, shape, body)
            except UnavailableError as trouble:
                if trouble.overloaded:
                    self.limit.refused(entered)
                return trouble
            self.limit.answered((path, *((body or {}).get(name) for name in LENGTHS)), entered)
            return answer
        finally:
            self.sending.discard(task)
            self.limit.leave()

    def _given_up(self) -> bool:
        """Whether the server is gone. From time to time one call is let through, which may find it back."""
        if self._lost_calls < LOST_ROUNDS * self.limit.now:
            return False
        if self._clock() - self._lost_at < LOST_S:
            return True
        self._lost_at = self._clock()
        return False

    async def _attempt(self, path: str, shape: type[Shape], body: JsonObject | None) -> Shape:
        try:
            text = await self._transport.send(path, body)
        except NoAnswerError as error:
            words = self.shown(str(error))[:140]
            billed = "" if error.sent else None
            raise UnavailableError(words, reached=error.reached, answer=billed, late=error.late) from None
        except StatusError as error:
            self._lost_calls = 0
            raise self._status_trouble(error) from None
        except RedirectedError as error:
            self._lost_calls = 0
            words = f"{self.shown(str(error))[:200]}, which is not followed; name that server instead"
            raise RefusedError(error.status, words) from None
        except UnreadableError as error:
            raise UnavailableError(str(error), status=200, answer="") from None
        self._lost_calls = 0
        return self._read(text.decode("utf-8", "replace"), shape)

    def _read(self, text: str, shape: type[Shape]) -> Shape:
        """Parses an answer, with the key masked, so the key is never recorded."""
        try:
            answer = from_json(text)
            if "\\" in text or self._key in text:  # otherwise it cannot hold the key
                answer = masked(answer, self._key)
            return shape.model_validate(answer)
        except ValidationError as error:
            problem = self.shown(first_problem(error))[:120]
        except (ValueError, RecursionError):
            problem = "not JSON"
        words = f"the body is not an answer of this API ({problem}): {self.shown(text[:1000])[:80]!r}"
        raise UnavailableError(words, status=200, answer=text)

    async def _within_limits(self, tokens: int) -> None:
        if self._requests:
            await self._requests.acquire()
        if self._tokens:
            await self._tokens.acquire(min(float(tokens), self._tokens.max_rate))

    def _status_trouble(self, error: StatusError) -> UnavailableError:
        """The failure behind a status that may be temporary.

        Raises: RefusedError if retrying cannot help; PreceptorError if every call would fail.
        """
        status, wait_s = error.status, error.wait_s
        words = self.shown(error.words)[:200]
        if status == 401:  # the message may quote a part of the key
            raise PreceptorError(
                f"{self._address.place} refuses the key ({status}); "
                + ("set" if self._key == NO_KEY else "check")
                + f" the environment variable {self._address.key_variable}"
            )
        if status == 403:
            raise PreceptorError(f"{self._address.place} forbids this key the use of {self._address.name}: {words}")
        if status == 402 or "insufficient_quota" in words:
            raise PreceptorError(f"{self._address.place} asks for payment: {words}")
        if status not in (408, 409, 429) and (status < 500 or status == 501):  # 501: not implemented
            raise RefusedError(status, words)
        if wait_s and wait_s > LONGEST_WAIT_S:
            words += f" (the server asks to wait {wait_s:.0f} s)"
        return UnavailableError(f"{status}: {words}", status=status, wait_s=wait_s)

    def shown(self, text: str) -> str:
        """A server's message on one line, without the key."""
        return words_without(self._key, text)
