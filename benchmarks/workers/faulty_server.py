"""A model server that answers within milliseconds, and now and then fails: raw HTTP over asyncio, in its own process.

`GET /counts` says how many questions it answered, and how many of them it had answered before.
"""

import asyncio
import json
import random

from benchmarks.workers.instant_server import LISTS, MODELS, PLAIN, TEXT, Connection, response, serve

MARK = b"soak-"
"""Stands in every question that is counted. A client's questions about what the server supports lack it."""
USUAL_S = (0.005, 0.03)
SLOW_S = 2.0
FAULTS = {"500": 0.01, "429": 0.005, "dropped": 0.005, "garbage": 0.002, "slow": 0.002}
"""Shares of the questions."""
_BUSY = b'{"error": {"message": "too many requests"}}'
_BROKEN = response("500 Internal Server Error", b'{"error": {"message": "out of memory"}}')
_LATER = response("429 Too Many Requests", _BUSY).replace(b"\r\n", b"\r\nRetry-After: 0.05\r\n", 1)
_GARBAGE = response("200 OK", b'{"choices": [')


class Faulty(Connection):
    """A connection on which questions now and then go wrong."""

    counts = dict.fromkeys(("answered", "doubled", *FAULTS), 0)
    _answered: set[int] = set()  # noqa: RUF012 (all connections share it on purpose)
    _chance = random.Random(0)  # noqa: S311

    def requested(self, head: bytes, body: bytes) -> None:
        """Answers a request."""
        path = head.split(b" ", 2)[1]
        if path.endswith(b"/counts"):
            self.write(response("200 OK", json.dumps(self.counts).encode()))
        elif path.endswith(b"/models"):
            self.write(MODELS)
        elif not path.endswith(b"/chat/completions"):
            self.write(TEXT)
        elif MARK not in body:
            self.write(LISTS if b'"top_logprobs"' in body else PLAIN)
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
        asyncio.get_running_loop().call_later(wait, self.write, spoilt.get(fault, LISTS))

    def _fault(self) -> str:
        drawn = self._chance.random()
        for fault, share in FAULTS.items():
            drawn -= share
            if drawn < 0:
                return fault
        return ""


if __name__ == "__main__":
    asyncio.run(serve(Faulty))
