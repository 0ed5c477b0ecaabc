"""One contestant's process: it prepares itself, then does its work once for every word "go" on standard input.

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
        """Adds the seconds inside to the part's."""
        start = time.perf_counter()
        try:
            yield
        finally:
            self.seconds[name] = self.seconds.get(name, 0.0) + time.perf_counter() - start


def serve(prepare: Callable[[dict[str, Any]], Callable[[], dict[str, Any]]]) -> None:
    """Answers the harness until it closes standard input.

    Args:
        prepare: takes the case's settings (a JSON object, the process's one argument), loads what it needs and
            gives back the work. The work is done once per repetition and returns facts of it, for instance
            {"units": 200, "tokens": 41000, "parts": {"judging": 1.2}}; its seconds are measured here.
    """
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # whatever a library prints goes to standard error
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
    """The most memory this process has held since the repetition began, in MiB."""
    status = Path("/proc/self/status").read_text()
    found = re.search(r"VmHWM:\s+(\d+) kB", status)
    return int(found[1]) / 1024 if found else 0.0


def _reset_peak() -> None:
    with contextlib.suppress(OSError):  # not every kernel allows it; the peak is then that of the whole process
        Path("/proc/self/clear_refs").write_text("5")


def _say(answers: Any, fact: dict[str, Any]) -> None:
    answers.write(json.dumps(fact) + "\n")
    answers.flush()
