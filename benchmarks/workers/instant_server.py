"""A model server that answers every question at once: raw HTTP over asyncio, in a process of its own.

It speaks the part of the OpenAI API that clients of judges use: `/v1/models`, and `/v1/chat/completions` with
log-probabilities. Imports nothing beyond the standard library.
"""

import asyncio
import json
import sys
from typing import Any

LISTED = 20
"""Most probable tokens that it lists at each place."""
NAME = "instant"


def body_of(places: int, listed: int) -> bytes:
    """An answer of so many tokens, with so many of the most probable tokens listed at each place."""
    probabilities = [-0.5, -1.2] + [-6.0 - i for i in range(LISTED - 2)]
    tokens = ["1", "2"] + [f"w{i}" for i in range(LISTED - 2)]
    top = [{"token": t, "logprob": p, "bytes": list(t.encode())} for t, p in zip(tokens, probabilities, strict=True)]
    place = {"token": "1", "logprob": -0.5, "bytes": [49], "top_logprobs": top[:listed]}
    choice: dict[str, Any] = {"index": 0, "finish_reason": "length", "message": {"role": "assistant", "content": "1"}}
    if listed:
        choice["logprobs"] = {"content": [place] * places}
    whole = {
        "id": "chatcmpl-0",
        "object": "chat.completion",
        "created": 1_700_000_000,
        "model": NAME,
        "choices": [choice],
        "usage": {"prompt_tokens": 300, "completion_tokens": places, "total_tokens": 300 + places},
    }
    return json.dumps(whole).encode()


def response(status: str, content: bytes) -> bytes:
    """A whole HTTP response."""
    head = f"HTTP/1.1 {status}\r\nContent-Type: application/json\r\nContent-Length: {len(content)}\r\n\r\n"
    return head.encode() + content


MODELS = response("200 OK", json.dumps({"object": "list", "data": [{"id": NAME, "object": "model"}]}).encode())
TEXT = response("404 Not Found", json.dumps({"error": {"message": "conversations only"}}).encode())
PLAIN = response("200 OK", body_of(1, 0))
LISTS = response("200 OK", body_of(1, LISTED))


class Connection(asyncio.Protocol):
    """One connection, of which each whole request is passed on."""

    def __init__(self) -> None:
        self._bytes = b""
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keeps the way back."""
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        """Answers all requests that are whole."""
        self._bytes += data
        while (end := self._bytes.find(b"\r\n\r\n")) >= 0:
            head, length = self._bytes[:end], 0
            at = head.lower().find(b"content-length:")
            if at >= 0:
                length = int(head[at + 15 :].split(b"\r\n", 1)[0])
            if len(self._bytes) < end + 4 + length:
                return
            body, self._bytes = self._bytes[end + 4 : end + 4 + length], self._bytes[end + 4 + length :]
            self.requested(head, body)

    def requested(self, head: bytes, body: bytes) -> None:
        """Answers a request."""
        raise NotImplementedError

    def write(self, content: bytes | None) -> None:
        """Sends an answer, unless the client has gone away; None ends the connection without one."""
        assert self._transport is not None
        if content is None:
            self._transport.abort()
        elif not self._transport.is_closing():
            self._transport.write(content)


class Instant(Connection):
    """A connection on which every request is answered at once."""

    counted = 0
    """Questions that have been answered on all connections."""

    def requested(self, head: bytes, body: bytes) -> None:
        """Answers a request."""
        self.write(_answer(head, body))


def _answer(head: bytes, body: bytes) -> bytes:
    path = head.split(b" ", 2)[1]
    if path.endswith(b"/models"):
        return MODELS
    if not path.endswith(b"/chat/completions"):
        return TEXT
    Instant.counted += 1
    return LISTS if b'"top_logprobs"' in body else PLAIN


async def serve(connection: type[Connection]) -> None:
    """Serves on a free port, which it prints, until whoever started it ends."""
    server = await asyncio.get_running_loop().create_server(connection, "127.0.0.1", 0, backlog=1024)
    print(server.sockets[0].getsockname()[1], flush=True)
    await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)


if __name__ == "__main__":
    asyncio.run(serve(Instant))
