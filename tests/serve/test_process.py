"""The service as a process of its own: killed, stopped, and left by its clients."""

import json
import os
import re
import signal
import socket
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Generator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from backends.fault_server import FaultServer, Script
from serve.test_faults import JUDGE
from serve_small import SKY

PATIENT_S = 20.0


class Process:
    """A running service."""

    def __init__(self, process: "subprocess.Popen[str]", url: str) -> None:
        self.process = process
        self.url = url

    def compare(self, number: int) -> httpx.Response:
        return httpx.post(f"{self.url}/v1/compare", json={**SKY, "b": f"Answer {number}."}, timeout=PATIENT_S)

    def number(self, name: str) -> float:
        """A number of /metrics."""
        found = re.search(rf"(?m)^{name}(?:{{[^}}]*}})? (\S+)$", httpx.get(f"{self.url}/metrics").text)
        assert found is not None, name
        return float(found[1])


@contextmanager
def running(folder: Path, server: FaultServer, *options: str) -> Generator[Process]:
    """`preceptor serve` with a judge behind this server."""
    judge = f"openai:tiny@{server.url}:helpful"
    command = [sys.executable, "-m", "preceptor", "serve", "--judge", judge, "--port", "0", "--data", str(folder)]
    environment = {name: value for name, value in os.environ.items() if name != "PRECEPTOR_SERVICE_TOKEN"}
    with subprocess.Popen([*command, *options], stdout=subprocess.PIPE, text=True, env=environment) as process:
        try:
            assert process.stdout is not None
            line = process.stdout.readline()
            found = re.search(r"http://[\d.:]+", line)
            assert found is not None, line
            yield Process(process, found[0])
        finally:
            process.kill()


def until(reached: Callable[[], bool]) -> None:
    """Waits for what another process does."""
    deadline = time.monotonic() + PATIENT_S
    while not reached():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def questions(server: FaultServer) -> list[str]:
    """What the model was asked about the answers, in the order of the calls."""
    return [str(body["messages"][0]["content"]) for body in server.asked if "Rayleigh" in str(body)]


def test_a_service_that_is_killed_loses_no_paid_call(tmp_path: Path) -> None:
    with FaultServer(Script(table=JUDGE)) as server, ThreadPoolExecutor(8) as pool:
        with running(tmp_path / "service", server) as service:
            sent = [pool.submit(service.compare, number) for number in range(40)]
            until(lambda: len(questions(server)) >= 30)
            service.process.send_signal(signal.SIGKILL)
            answered = [one.result().json() for one in sent if not one.exception()]
        before = len(questions(server))
        with running(tmp_path / "service", server) as service:
            answers = [service.compare(number).json() for number in range(40)]
        asked = questions(server)
    assert all(answer["failure"] is None for answer in answers)
    assert all(answer in answers for answer in answered)
    with sqlite3.connect(tmp_path / "service" / "ledger.sqlite") as ledger:
        [interrupted] = ledger.execute("SELECT count(*) FROM failed_attempts WHERE interrupted").fetchone()
        assert ledger.execute("SELECT count(*) FROM calls").fetchone() == (80,)
    assert before < 80
    assert len(set(asked)) == 80
    assert len(asked) - 80 <= interrupted <= 16  # asked twice: at most what was in flight


def test_a_service_that_is_stopped_answers_what_it_has_accepted(tmp_path: Path) -> None:
    with (
        FaultServer(Script(table=JUDGE)) as server,
        ThreadPoolExecutor(4) as pool,
        running(tmp_path / "service", server, "--concurrency=1", "--timeout=2") as service,
    ):
        server.script.faults = {"Rayleigh": ["stall"]}
        sent = [pool.submit(service.compare, 0)]
        until(lambda: len(questions(server)) == 1)
        sent += [pool.submit(service.compare, number) for number in range(1, 4)]
        until(lambda: service.number("preceptor_waiting") == 3)
        service.process.send_signal(signal.SIGTERM)
        until(lambda: _refuses(service.url))
        answers = [one.result(PATIENT_S) for one in sent]
        said, _ = service.process.communicate(timeout=PATIENT_S)
    assert [answer.status_code for answer in answers] == [200] * 4
    assert all(answer.json()["failure"] is None for answer in answers)
    assert service.process.returncode == 0
    assert "stopped" in said


def _refuses(url: str) -> bool:
    try:
        httpx.get(f"{url}/health")
    except httpx.TransportError:
        return True
    return False


@pytest.mark.parametrize("limit", ["--concurrency=1", "--requests-per-minute=240"])
def test_a_client_that_vanishes_costs_nothing_further(tmp_path: Path, limit: str) -> None:
    group = {"prompt": "Rayleigh?", "responses": [f"Reply {number}." for number in range(50)]}
    body = json.dumps({"groups": [group]})
    with (
        FaultServer(Script(table=JUDGE)) as server,
        running(tmp_path / "service", server, limit, "--timeout=2") as service,
    ):
        before = len(server.asked)
        server.script.faults = {"Reply": ["stall"] * 99}
        address = httpx.URL(service.url)
        with socket.create_connection((address.host, address.port or 0)) as client:
            head = f"POST /v1/reward HTTP/1.1\r\nHost: {address.host}\r\nContent-Type: application/json\r\n"
            client.sendall(f"{head}Content-Length: {len(body)}\r\n\r\n{body}".encode())
            until(lambda: len(server.asked) > before)
        until(lambda: service.number("preceptor_waiting") == service.number("preceptor_judging") == 0)
        assert service.compare(0).json()["failure"] is None
        replies = [call for call in server.asked if "Reply" in str(call)]
    assert len(replies) == 1  # what had been sent; its answer never came, and nobody asked again
