"""LiteLLM as a way to a model: a body in the form of the OpenAI API goes in, an answer in that form comes out."""

import asyncio
import re
from typing import Any

from pydantic_core import to_json

from preceptor.backends.connection import Connection
from preceptor.backends.litellm.address import ProviderAddress
from preceptor.backends.litellm.catalogue import LISTING, settings_of, window_of
from preceptor.backends.litellm.library import library, part
from preceptor.backends.litellm.sending import Attempt, BoundedHandler, current
from preceptor.backends.openai.http import Connections, asked_wait
from preceptor.backends.openai.transport import NoAnswerError, RedirectedError, StatusError, UnreadableError
from preceptor.core.types import JsonObject

_DEFAULTS: JsonObject = {"top_p": 1.0, "temperature": 1.0}
"""Settings that say what a provider does anyway; they are left out where the model does not take them."""
_OWN_HTTP = frozenset({"azure"})
"""Providers whose requests LiteLLM sends by their own library."""


class ProviderTransport:
    """Carries attempts at calls through LiteLLM. Only conversations; a begun answer is not continued."""

    def __init__(self, address: ProviderAddress, connection: Connection, key: str) -> None:
        """Args:
        key: what is sent as the key; empty where LiteLLM finds the credentials itself.
        """
        self._address = address
        self._timeout_s = connection.timeout_s
        self._settings = settings_of(address)
        connections = Connections(connection.timeout_s)
        self._handler = BoundedHandler(connections)
        self.close = connections.close
        self._fixed: dict[str, Any] = {
            "model": address.name,
            "timeout": connection.timeout_s,
            "max_retries": 0,
            "num_retries": 0,
        }
        if key or address.base_url:
            self._fixed["api_key"] = key or "none"
        if address.base_url:
            self._fixed["api_base"] = address.base_url
        if address.provider not in _OWN_HTTP:
            self._fixed["client"] = self._handler

    async def send(self, path: str, body: JsonObject | None) -> bytes:
        """As `Transport.send`. What the provider does not take is refused here with status 400, and costs nothing."""
        if path == "/models":
            return to_json({"data": [{"id": self._address.name, "max_model_len": window_of(self._address)}]})
        if path != "/chat/completions" or body is None:
            raise StatusError(400, "LiteLLM takes conversations only")
        answer: Any = await self._asked(self._passed_on(body))
        try:
            return to_json(answer.model_dump(exclude_none=True))
        except ValueError:
            raise UnreadableError("the answer holds half of a character, or is nested too deeply") from None

    async def _asked(self, arguments: dict[str, Any]) -> Any:
        part("_internal_context").is_internal_call.set(True)  # no logging and no tasks that outlive the call
        attempt = Attempt()
        current.set(attempt)
        try:
            async with asyncio.timeout(self._timeout_s):
                return await library().acompletion(**self._fixed, **arguments)
        except TimeoutError:
            raise attempt.error or NoAnswerError(f"no whole answer within {self._timeout_s:g} s", late=True) from None
        except Exception as error:
            raise _trouble(error, attempt) from None

    def _passed_on(self, body: JsonObject) -> dict[str, Any]:
        """The arguments for LiteLLM.

        Raises: StatusError for a setting that the model does not take.
        """
        wanted = {name: value for name, value in body.items() if name not in ("model", "messages")}
        if "claude" in self._address.name and "temperature" in wanted:
            wanted.pop("top_p", None)  # they refuse to be given both
        for name in wanted.keys() - self._settings:
            if name == "seed" or wanted[name] == _DEFAULTS.get(name):
                del wanted[name]
        if LISTING & wanted.keys() - self._settings:
            raise StatusError(400, f"{self._address.place} gives no log-probabilities of {self._address.model}")
        if refused := sorted(wanted.keys() - self._settings):
            raise StatusError(400, f"{self._address} does not take {', '.join(refused)}")
        return {"messages": body["messages"], **wanted}


def _trouble(error: Exception, attempt: Attempt) -> StatusError | NoAnswerError | UnreadableError | RedirectedError:
    """What is behind an error that LiteLLM raised: that of the request, where `BoundedHandler` sent it."""
    if isinstance(attempt.error, StatusError):
        return _by_words(attempt.error)
    if attempt.error is not None:
        return attempt.error
    words = _plain(str(error)) or type(error).__name__
    if attempt.answered:
        return UnreadableError(f"LiteLLM cannot read the answer: {words}")
    exceptions = part("exceptions")
    if isinstance(error, (exceptions.Timeout, exceptions.APIConnectionError)):
        return NoAnswerError(words, late=isinstance(error, exceptions.Timeout))
    headers: Any = getattr(error, "litellm_response_headers", None) or {}
    return StatusError(int(getattr(error, "status_code", 0) or 500), words, asked_wait(headers.get("retry-after")))


def _by_words(error: StatusError) -> StatusError:
    """The error with the usual status, where a provider has one of its own for a bad key or an unpaid bill."""
    if error.status == 400 and re.search(r"API key (not valid|expired)|API_KEY_INVALID", error.words):
        return StatusError(401, error.words)
    if error.status == 400 and re.search(r"credit balance is too low", error.words):
        return StatusError(402, error.words)
    return error


def _plain(text: str) -> str:
    """LiteLLM's words without the names of its classes, on which they begin."""
    return re.sub(r"^(\s*(litellm\.)?[A-Z]\w*(Error|Exception|Timeout)\s*[:-]\s*)+", "", text).strip()
