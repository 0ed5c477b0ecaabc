"""Calls a second: labelling through a server that answers at once, beside other libraries on the same server."""

import json
import subprocess
import sys
import tempfile
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from benchmarks.environments import peer_python
from benchmarks.harness import ROOT, Contestant, Result, compete
from benchmarks.workers.growth import RESPONSE_TOKENS, write_rows
from benchmarks.workers.instant_server import LISTED, NAME
from benchmarks.workers.label_prompts import requests

COMPARISONS = 2_000
"""Each in both orders, so twice as many calls."""
CONCURRENCIES: tuple[int | None, ...] = (8, 64, 256, None)
SHARED = 64
"""Calls in flight when others are measured beside preceptor."""
PROMPT_TOKENS = 100
REPETITIONS = 3
PEERS = ("LiteLLM", "inspect_ai", "Verdict", "OpenJudge", "distilabel")


def run(quick: bool) -> dict[str, Any]:
    """Labels with several numbers of calls in flight by preceptor, then asks through the others."""
    comparisons, repetitions = (100, 1) if quick else (COMPARISONS, REPETITIONS)
    with tempfile.TemporaryDirectory(prefix="client-") as scratch, server() as url:
        asked = {"url": url, "name": NAME, "comparisons": comparisons, "prompt_tokens": PROMPT_TOKENS}
        own = [_own(concurrency, asked) for concurrency in CONCURRENCIES]
        prompts = _prompts(Path(scratch), comparisons)
        peers, absent = _peers({**asked, "prompts": str(prompts), "concurrency": SHARED})
        results = [*compete([*own, *peers], repetitions), *absent]
    shared = next(result for result in results if result.name == _name(SHARED))
    rows = [_row(result, shared) for result in results]
    return {
        "title": "Calls a second to a server that answers at once",
        "setup": {
            "server": f"raw HTTP over asyncio in another process; each answer lists {LISTED} log-probabilities",
            "work": f"{comparisons} comparisons of random words ({PROMPT_TOKENS} tokens of prompt, two responses of "
            f"{RESPONSE_TOKENS}), each judged in both orders: {2 * comparisons} answered calls of one token",
            "preceptor": "all of `preceptor label`: rows, prompts, calls, the ledger on disk, labels, Parquet",
            "others": f"the same prompts, {SHARED} calls in flight, answers collected in memory; nothing is recorded "
            "unless the library does so by itself; the ratio is to preceptor with as many calls in flight",
            "units": "answered calls",
            "repetitions": f"{repetitions} after a warm-up, in turn",
        },
        "rows": rows,
        "headline": _headline(rows),
    }


def _own(concurrency: int | None, asked: dict[str, Any]) -> Contestant:
    settings = {**asked, "concurrency": concurrency}
    return Contestant(_name(concurrency), "benchmarks.workers.client_preceptor", settings)


def _name(concurrency: int | None) -> str:
    return f"preceptor, {'adaptive' if concurrency is None else concurrency}"


def _peers(settings: dict[str, Any]) -> tuple[list[Contestant], list[Result]]:
    """The other libraries, and those whose environment cannot be made, with the reason."""
    present: list[Contestant] = []
    absent: list[Result] = []
    for name in PEERS:
        try:
            python = peer_python(name)
        except RuntimeError as error:
            absent.append(Result(name, (), str(error)))
        else:
            present.append(Contestant(name, "benchmarks.workers.client_peers", {**settings, "peer": name}, python))
    return present, absent


def _prompts(folder: Path, comparisons: int) -> Path:
    """The texts that preceptor asks about the comparisons, one for each call."""
    rows = write_rows(folder / "rows.jsonl", comparisons, 2, PROMPT_TOKENS)
    texts = [request.prompt[0].content for request in requests(rows, "detailed") if not isinstance(request.prompt, str)]
    path = folder / "prompts.json"
    path.write_text(json.dumps(texts))
    return path


@contextmanager
def server() -> Generator[str]:
    """A server that answers at once, in a process of its own. Gives its base URL."""
    command = [sys.executable, "-m", "benchmarks.workers.instant_server"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=ROOT) as server:
        assert server.stdin is not None
        assert server.stdout is not None
        try:
            yield f"http://127.0.0.1:{int(server.stdout.readline())}/v1"
        finally:
            server.stdin.close()


def _row(result: Result, shared: Result) -> dict[str, Any]:
    own, _, variant = result.name.partition(", ")
    row = result.row(f"{variant or SHARED} in flight", shared)
    return {**row, "contestant": own, "cpu_seconds": result.median("cpu_seconds")}


def _headline(rows: Sequence[dict[str, Any]]) -> list[dict[str, str]]:
    rates = [
        f"{row['units_per_second']:,.0f} with {row['variant']}"
        for row in rows
        if row["contestant"] == "preceptor" and row["units_per_second"]
    ]
    others = [
        f"{row['contestant']} {row['units_per_second']:,.0f}"
        for row in rows
        if row["contestant"] != "preceptor" and row["units_per_second"]
    ]
    return [{"figure": "Calls a second from one process", "value": "; ".join(rates), "against": ", ".join(others)}]
