"""Labelling through LiteLLM that is killed loses no call that was answered, and repeats only those in flight."""

import os
import signal
import sqlite3
import subprocess
import sys
from pathlib import Path

import rows
from backends.provider_server import ANTHROPIC, Provider, ProviderServer

ROWS, VOTES, CONCURRENCY = 6, 8, 2
CALLS = 2 * ROWS
"""Both orders."""


def _label(comparisons: Path, out: Path, url: str) -> "subprocess.Popen[str]":
    command = [sys.executable, "-c", "from preceptor.cli.app import main; main()", "label", str(comparisons)]
    command += ["--out", str(out), "--judge", f"{ANTHROPIC}@{url}", "--concurrency", str(CONCURRENCY)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


def _recorded(ledger: Path) -> list[tuple[str, str]]:
    with sqlite3.connect(ledger) as connection:
        return connection.execute("SELECT key, outcome FROM calls ORDER BY key").fetchall()


def test_no_answered_call_is_lost_or_paid_for_twice(tmp_path: Path) -> None:
    asked = [{"prompt": f"Question {n}?", "response_a": "Yes.", "response_b": "No."} for n in range(ROWS)]
    comparisons, out = rows.write(tmp_path / "comparisons.jsonl", asked), tmp_path / "labels"
    with ProviderServer(Provider()) as server:
        killed = _label(comparisons, out, server.url)

        def kill(number: int) -> None:
            if number == CALLS * VOTES // 2:
                os.kill(killed.pid, signal.SIGKILL)

        server.provider.at_request = kill
        assert killed.wait(120) == -signal.SIGKILL
        before, paid = _recorded(out / "ledger.sqlite"), len(server.asked)
        server.provider.at_request = None
        resumed = _label(comparisons, out, server.url)
        said = resumed.communicate(timeout=120)[0]
        assert resumed.returncode == 0, said
        again = len(server.asked) - paid
    after = _recorded(out / "ledger.sqlite")
    assert 0 < len(before) < CALLS == len(after)
    assert set(before) <= set(after)
    assert again == 1 + (CALLS - len(before)) * VOTES  # finding out what it can do takes one
    assert paid <= 1 + (len(before) + CONCURRENCY) * VOTES  # what was in flight, and only that, was asked twice
    preferences = rows.read(out / "preferences.jsonl")
    assert {verdict["votes"] for row in preferences for verdict in row["verdicts"]} == {VOTES}
    assert len(preferences) == ROWS
    assert "in flight when an earlier process ended" in " ".join(said.split())
