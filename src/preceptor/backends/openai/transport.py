"""How one attempt at a call reaches a model: the way there, and what can go wrong on it."""

from typing import Protocol

from preceptor.core.types import JsonObject


class Transport(Protocol):
    """Carries one attempt at a call. Retries, rate limits, spending and masking of the key are not its business.

    It is used from one event loop. HTTP is one transport; others may turn the body into another provider's form.
    """

    async def send(self, path: str, body: JsonObject | None) -> bytes:
        """The body of an answer with status 200, in the form of the OpenAI API.

        Args:
            path: `/chat/completions`, `/completions` or `/models`.
            body: sent by POST; None for a GET.

        Raises: StatusError, NoAnswerError, UnreadableError, RedirectedError.
        """
        ...

    async def close(self) -> None:
        """Closes the connections. Nothing is sent afterwards."""
        ...


class StatusError(Exception):
    """The server answers with an error."""

    def __init__(self, status: int, words: str, wait_s: float | None = None) -> None:
        super().__init__(f"{status}: {words}")
        self.status = status
        """The HTTP status."""
        self.words = words
        """The server's message, with its code if it gives one. The key may be in it."""
        self.wait_s = wait_s
        """Seconds that the server asks to wait; None if it does not ask."""


class NoAnswerError(Exception):
    """There is no whole answer: no connection, one that ended early, or too little time."""

    def __init__(self, words: str, *, reached: bool = True, sent: bool = True, late: bool = False) -> None:
        super().__init__(words)
        self.reached = reached
        """Whether a connection was made."""
        self.sent = reached and sent
        """Whether the whole request may have arrived, so that it may be billed."""
        self.late = late
        """Whether it took too long."""


class UnreadableError(Exception):
    """The body is too large, cannot be decompressed, or is compressed in a way that was not offered."""


class RedirectedError(Exception):
    """The server redirects in a way that is not followed."""

    def __init__(self, status: int, place: str) -> None:
        super().__init__(f"the server redirects to {place}")
        self.status = status
