"""One contestant's process: it prepares, then does its work once for every line "go" on standard input.

Imports nothing beyond the standard library, so that a peer's own environment can import it.
"""

import contextlib
import json
import os
import re
import sys
import time
from collections.abc import Callable, Generator
from pathlib import Path
from typing import Any


class Parts:
    """Seconds that the parts of one repetition took, added up by name."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}

    @contextlib.contextmanager
    def timed(self, name: str) -> Generator[None]:
        """Adds the seconds spent inside to the part."""
        start = time.perf_counter()
        try:
            yield
        finally:
            self.seconds[name] = self.seconds.get(name, 0.0) + time.perf_counter() - start


def serve(prepare: Callable[[dict[str, Any]], Callable[[], dict[str, Any]]]) -> None:
    """Answers the harness until it closes standard input.

    Args:
        prepare: takes the case's settings (a JSON object, the process's only argument), loads what it needs and
            returns the work, a function. It is called once per repetition and returns facts, for instance
            {"units": 200, "tokens": 41000, "parts": {"judging": 1.2}}; its time is measured here.
    """
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # libraries' output goes to standard error
    work = prepare(json.loads(sys.argv[1]))
    _say(answers, {"ready": True})
    for line in sys.stdin:
        if line.strip() != "go":
            continue
        _reset_peak()
        start = time.perf_counter()
        facts = work()
        seconds = time.perf_counter() - start
        _say(answers, {"seconds": seconds, "peak_mib": peak_mib(), **facts})


def peak_mib() -> float:
    """The peak memory of this process since the repetition began, in MiB."""
    status = Path("/proc/self/status").read_text()
    match = re.search(r"VmHWM:\s+(\d+) kB", status)
    return int(match[1]) / 1024 if match else 0.0


def _reset_peak() -> None:
    with contextlib.suppress(OSError):  # not every kernel allows it; then the peak is over the life of the process
        Path("/proc/self/clear_refs").write_text("5")


def _say(answers: Any, fact: dict[str, Any]) -> None:
    answers.write(json.dumps(fact) + "\n")
    answers.flush()
