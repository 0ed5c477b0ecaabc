"""Memory over a long labelling through a server that answers at once.

Run `python -m benchmarks.soak [COMPARISONS] [FOLDER]`. It is not a case of `python -m benchmarks`, since a million
comparisons take half an hour on two idle cores, and 10 GB of disk.
"""

import re
import sys
import tempfile
import time
from pathlib import Path

import preceptor as pc
from benchmarks.client import SHARED, server
from benchmarks.workers.growth import write_rows
from benchmarks.workers.instant_server import NAME
from preceptor.core.progress import Silence

WORDS = 20
"""In a prompt, on average; a response has 100."""


class Memory(Silence):
    """Prints memory as rows are labelled."""

    def __init__(self, every: int) -> None:
        self._every = every
        self._begun = time.perf_counter()
        self._next = every

    def stage(self, name: str) -> None:
        """Prints the memory with which a stage begins."""
        print(f"{self._facts()}: {name}", flush=True)

    def advance(self, done: int, total: int, facts: str = "") -> None:
        """Prints the memory after so many rows."""
        if done >= self._next or done == total:
            self._next = done + self._every
            print(f"{self._facts()}: {done:,} rows, {facts}", flush=True)

    def _facts(self) -> str:
        return f"{time.perf_counter() - self._begun:8.1f} s, {resident_mib():6.1f} MiB"


def resident_mib() -> float:
    """Memory of this process, in MiB."""
    found = re.search(r"VmRSS:\s+(\d+) kB", Path("/proc/self/status").read_text())
    return int(found[1]) / 1024 if found else 0.0


def main() -> None:
    """Labels so many comparisons in both orders."""
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 1_000_000
    folder = Path(sys.argv[2]) if len(sys.argv) > 2 else None
    with tempfile.TemporaryDirectory(prefix="soak-", dir=folder) as scratch, server() as url:
        rows = write_rows(Path(scratch) / "rows.jsonl", count, 2, WORDS)
        begun = time.perf_counter()
        judge = pc.Judge(f"openai:{NAME}@{url}", connection={"concurrency": SHARED})
        labels = pc.label(rows, judges=judge, out=Path(scratch) / "labels", progress=Memory(max(1, count // 20)))
        seconds, labelled = time.perf_counter() - begun, labels.counts.preferences
        print(f"{labelled:,} of {count:,} comparisons in {seconds:.0f} s, {2 * labelled / seconds:.0f} calls a second")


if __name__ == "__main__":
    main()
