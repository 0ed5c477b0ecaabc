"""A model server that answers within milliseconds, and now and then fails: raw HTTP over asyncio, in its own process.

`GET /counts` says how many questions it answered, and how many of them it had answered before.
"""

import asyncio
import json
import random
import sys

from benchmarks.workers.instant_server import LISTS, MODELS, PLAIN, TEXT, response

MARK = b"soak-"
"""What is in every question that counts; the questions with which a client finds out what the server can are not."""
USUAL_S = (0.005, 0.03)
SLOW_S = 2.0
FAULTS = {"500": 0.01, "429": 0.005, "dropped": 0.005, "garbage": 0.002, "slow": 0.002}
"""Shares of the questions."""
_BUSY = b'{"error": {"message": "too many requests"}}'
_BROKEN = response("500 Internal Server Error", b'{"error": {"message": "out of memory"}}')
_LATER = response("429 Too Many Requests", _BUSY).replace(b"\r\n", b"\r\nRetry-After: 0.05\r\n", 1)
_GARBAGE = response("200 OK", b'{"choices": [')


class Faulty(asyncio.Protocol):
    """One connection."""

    counts = dict.fromkeys(("answered", "doubled", *FAULTS), 0)
    _answered: set[int] = set()  # noqa: RUF012  shared by all connections
    _chance = random.Random(0)  # noqa: S311

    def __init__(self) -> None:
        self._bytes = b""
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keeps the way back."""
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        """Answers a request once it is whole. Clients send one at a time on a connection."""
        self._bytes += data
        end = self._bytes.find(b"\r\n\r\n")
        if end < 0:
            return
        head, length = self._bytes[:end], 0
        at = head.lower().find(b"content-length:")
        if at >= 0:
            length = int(head[at + 15 :].split(b"\r\n", 1)[0])
        if len(self._bytes) < end + 4 + length:
            return
        body, self._bytes = self._bytes[end + 4 : end + 4 + length], b""
        self._answer(head.split(b" ", 2)[1], body)

    def _answer(self, path: bytes, body: bytes) -> None:
        if path.endswith(b"/counts"):
            self._write(response("200 OK", json.dumps(self.counts).encode()))
        elif path.endswith(b"/models"):
            self._write(MODELS)
        elif not path.endswith(b"/chat/completions"):
            self._write(TEXT)
        elif MARK not in body:
            self._write(LISTS if b'"top_logprobs"' in body else PLAIN)
        else:
            self._question(body)

    def _question(self, body: bytes) -> None:
        fault = self._fault()
        wait = SLOW_S if fault == "slow" else self._chance.uniform(*USUAL_S)
        if fault:
            self.counts[fault] += 1
        if fault in ("", "slow"):
            self.counts["answered"] += 1
            self.counts["doubled"] += hash(body) in self._answered
            self._answered.add(hash(body))
        spoilt = {"500": _BROKEN, "429": _LATER, "garbage": _GARBAGE, "dropped": None}
        asyncio.get_running_loop().call_later(wait, self._write, spoilt.get(fault, LISTS))

    def _fault(self) -> str:
        drawn = self._chance.random()
        for fault, share in FAULTS.items():
            drawn -= share
            if drawn < 0:
                return fault
        return ""

    def _write(self, content: bytes | None) -> None:
        assert self._transport is not None
        if content is None:
            self._transport.abort()
        elif not self._transport.is_closing():
            self._transport.write(content)


async def _serve() -> None:
    server = await asyncio.get_running_loop().create_server(Faulty, "127.0.0.1", 0, backlog=1024)
    print(server.sockets[0].getsockname()[1], flush=True)
    await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)  # until whoever started it ends


if __name__ == "__main__":
    asyncio.run(_serve())
