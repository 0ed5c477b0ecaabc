"""A soak of `preceptor serve`: many clients, a model server that fails now and then, clients that fail too.

Run `python -m benchmarks.serve [--seconds 600] [--rate 500]`. It is not a case of `python -m benchmarks`, because it
takes ten minutes. Prints what became of every request, how long answers took, and the memory of the service.
"""

import argparse
import asyncio
import json
import os
import random
import re
import signal
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from statistics import linear_regression, quantiles
from typing import Any

import aiohttp

from benchmarks.__main__ import machine
from benchmarks.workers.instant_server import NAME

VANISHING, MALFORMED, REPEATED = 0.01, 0.01, 0.1
"""Shares of clients that go away within 20 ms, that send nonsense, and that ask what somebody has just asked."""
ATTEMPTS = 5
"""Of a client that is told to come again."""
WORDS = ("the", "sky", "is", "blue", "because", "air", "scatters", "short", "waves", "more", "than", "long", "ones")
_MIB = 1024


@contextmanager
def process(*arguments: str) -> Generator[tuple["subprocess.Popen[str]", str]]:
    """A Python process and the first line that it prints; it is ended by the end of its input, or a signal."""
    command = [sys.executable, "-m", *arguments]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as started:
        assert started.stdout is not None
        try:
            yield started, started.stdout.readline()
        finally:
            started.send_signal(signal.SIGTERM)


class Soak:
    """Sends requests at a steady pace, whatever becomes of them, and keeps count."""

    def __init__(self, url: str, rate: float, seconds: float) -> None:
        self.outcomes: Counter[str] = Counter()
        self.milliseconds: list[float] = []
        self.lost: Counter[str] = Counter()
        """What went wrong where there should have been an answer."""
        self._url = url
        self._rate = rate
        self._seconds = seconds
        self._chance = random.Random(1)  # noqa: S311
        self.sent = 0
        """Requests so far."""

    async def run(self) -> float:
        """Sends everything. Returns the seconds that it took to send."""
        connections = aiohttp.TCPConnector(limit=0)
        async with aiohttp.ClientSession(connector=connections, timeout=aiohttp.ClientTimeout(60)) as session:
            begun, tasks = time.perf_counter(), set[asyncio.Task[None]]()
            while (passed := time.perf_counter() - begun) < self._seconds:
                while self.sent < passed * self._rate:
                    task = asyncio.create_task(self._client(session, self.sent))
                    tasks.add(task)
                    task.add_done_callback(tasks.discard)
                    self.sent += 1
                await asyncio.sleep(0.005)
            await asyncio.gather(*tasks)
            return passed

    async def _client(self, session: aiohttp.ClientSession, number: int) -> None:
        drawn = self._chance.random()
        if drawn < VANISHING:
            await self._vanish(session, number)
        elif drawn < VANISHING + MALFORMED:
            await self._ask(session, {"prompt": "x", "a": number}, wanted=422)
        elif drawn < VANISHING + MALFORMED + REPEATED:
            await self._ask(session, self._question(max(0, number - self._chance.randrange(1, 50))))
        else:
            await self._ask(session, self._question(number))

    def _question(self, number: int) -> dict[str, str]:
        words = random.Random(number).choices(WORDS, k=60)  # noqa: S311
        return {
            "prompt": f"soak-{number}: {' '.join(words[:20])}?",
            "a": " ".join(words[20:40]),
            "b": " ".join(words[40:]),
        }

    async def _vanish(self, session: aiohttp.ClientSession, number: int) -> None:
        try:
            async with asyncio.timeout(self._chance.uniform(0.0, 0.02)):
                await self._ask(session, self._question(number))
        except TimeoutError:
            self.outcomes["vanished"] += 1

    async def _ask(self, session: aiohttp.ClientSession, body: dict[str, Any], wanted: int = 200) -> None:
        begun, status, content = time.perf_counter(), 0, dict[str, Any]()
        for _ in range(ATTEMPTS):
            try:
                async with session.post(f"{self._url}/v1/compare", json=body) as answer:
                    status, content, wait = answer.status, await answer.json(), answer.headers.get("retry-after", "1")
            except (aiohttp.ClientError, TimeoutError, ValueError) as error:
                self.lost[type(error).__name__] += 1
                return
            if status != 429:
                break
            self.outcomes["told to come again"] += 1
            await asyncio.sleep(float(wait))
        if status == 429:
            self.outcomes["turned away each time"] += 1
        elif status != wanted:
            self.lost[f"{status} {str(content)[:60]}"] += 1
        elif wanted != 200:
            self.outcomes["refused, as they should be"] += 1
        elif content["failure"] is None:
            self.outcomes["answered"] += 1
            self.milliseconds.append(1000 * (time.perf_counter() - begun))
        else:
            self.outcomes[f"failed: {content['failure']['reason']}"] += 1


def memory_mib(process_id: int) -> float:
    """Memory of a process."""
    found = re.search(r"VmRSS:\s+(\d+) kB", Path(f"/proc/{process_id}/status").read_text())
    return int(found[1]) / _MIB if found else 0.0


def cpu_seconds(process_id: int) -> float:
    """Processor time that a process has taken."""
    fields = Path(f"/proc/{process_id}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


async def watched(soak: Soak, process_id: int) -> tuple[float, list[tuple[float, float]]]:
    """Runs the soak. Returns the seconds of sending, and the memory (minutes, MiB) of a process meanwhile."""
    memory: list[tuple[float, float]] = []
    begun = time.perf_counter()

    async def watch() -> None:
        while True:
            memory.append(((time.perf_counter() - begun) / 60, memory_mib(process_id)))
            await asyncio.sleep(2.0)

    watching = asyncio.create_task(watch())
    seconds = await soak.run()
    watching.cancel()
    return seconds, memory


async def counts(url: str) -> dict[str, int]:
    """What the model server has counted."""
    async with aiohttp.ClientSession() as session, session.get(f"{url}/counts") as answer:
        return await answer.json()


def main() -> None:
    """Runs the soak and prints what was seen."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.serve", description=__doc__)
    parser.add_argument("--seconds", type=float, default=600.0)
    parser.add_argument("--rate", type=float, default=500.0, help="requests a second")
    parser.add_argument("--variant", default="detailed+single", help="how the judge is asked; single: one call each")
    given = parser.parse_args()
    facts = machine()
    print(f"{facts['cpu']}, {facts['cores']} cores, load {facts['load']}")
    with tempfile.TemporaryDirectory(prefix="serve-") as folder, process("benchmarks.workers.faulty_server") as model:
        model_url = f"http://127.0.0.1:{int(model[1])}/v1"
        judge = f"openai:{NAME}@{model_url}:helpful:{given.variant}"
        options = ("serve", "--judge", judge, "--port", "0", "--data", f"{folder}/service", "--concurrency", "64")
        with process("preceptor", *options) as (service, line):
            found = re.search(r"http://[\d.:]+", line)
            assert found is not None, line
            soak = Soak(found[0], given.rate, given.seconds)
            before = cpu_seconds(service.pid)
            seconds, memory = asyncio.run(watched(soak, service.pid))
            cpu = cpu_seconds(service.pid) - before
            counted = asyncio.run(counts(model_url))
            service.send_signal(signal.SIGTERM)
            code = service.wait(30)
        with sqlite3.connect(f"{folder}/service/ledger.sqlite") as ledger:
            [recorded] = ledger.execute("SELECT count(*) FROM calls WHERE request LIKE '%soak-%'").fetchone()
            [in_flight] = ledger.execute("SELECT count(*) FROM in_flight").fetchone()
    _print(soak, seconds, memory, counted)
    print(f"the service took {1000 * cpu / soak.sent:.2f} ms of a processor for each request")
    print(f"calls on record {recorded:,}, left in flight {in_flight}; the service ended with {code}")


def _print(soak: Soak, seconds: float, memory: list[tuple[float, float]], counted: dict[str, int]) -> None:
    sent = sum(soak.outcomes.values()) - soak.outcomes["told to come again"] + soak.lost.total()
    print(f"{sent:,} requests in {seconds:.0f} s, {sent / seconds:.0f} a second")
    print(", ".join(f"{count:,} {outcome}" for outcome, count in soak.outcomes.most_common()))
    print(f"lost {soak.lost.total()}" + "".join(f"; {count} {what}" for what, count in soak.lost.most_common(5)))
    cut = quantiles(soak.milliseconds, n=100)
    print(f"answered within {cut[49]:.0f} ms (median), {cut[94]:.0f} ms (95 %), {cut[98]:.0f} ms (99 %)")
    print(f"the model server: {json.dumps(counted)}")
    settled = memory[len(memory) // 5 :]
    slope = linear_regression(*zip(*settled, strict=True)).slope
    print(
        f"memory {settled[0][1]:.0f} MiB after {60 * settled[0][0]:.0f} s, {settled[-1][1]:.0f} MiB at the end, "
        f"at most {max(mib for _, mib in memory):.0f} MiB; {slope:+.1f} MiB a minute"
    )


if __name__ == "__main__":
    main()
