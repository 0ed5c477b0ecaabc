"""Runs contestants in turn, each in its own process, and compares them."""

import json
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent.parent
REPETITIONS = 5


@dataclass(frozen=True)
class Contestant:
    """One way of doing a case's work."""

    name: str
    """The name in tables; the first contestant of a case is preceptor."""
    module: str
    """The module that `python -m` runs; it calls `worker.serve`."""
    settings: Mapping[str, Any] = field(default_factory=dict)
    python: str = sys.executable
    environment: Mapping[str, str] = field(default_factory=dict)
    """Environment variables in addition to those of this process."""


@dataclass(frozen=True)
class Kind:
    """A kind of machine, and the precision that all contestants use on it."""

    name: str
    dtype: str
    """torch's name of the precision: bfloat16 or float32."""
    environment: Mapping[str, str] = field(default_factory=dict)
    """Environment variables that make this machine stand in for one of that kind."""


AVX2 = Kind(
    "AVX2, float32",
    "float32",
    {"ATEN_CPU_CAPABILITY": "avx2", "ONEDNN_MAX_CPU_ISA": "AVX2", "MKL_ENABLE_INSTRUCTIONS": "AVX2"},
)
"""Most laptops: no AVX-512 and no bfloat16. preceptor's `auto` precision follows the first variable."""


def this_kind() -> Kind:
    """This machine, with the precision that preceptor chooses on it."""
    import torch

    from preceptor.backends.transformers.loading import default_dtype

    dtype = str(default_dtype()).removeprefix("torch.")
    return Kind(f"{torch.backends.cpu.get_cpu_capability()}, {dtype}", dtype)


@dataclass(frozen=True)
class Result:
    """The measurements of one contestant's repetitions."""

    name: str
    repetitions: tuple[dict[str, Any], ...]
    failed: str | None = None
    """Why there are no measurements."""

    def median(self, key: str) -> float | None:
        """Median of a fact over the repetitions; None if it was not reported."""
        values = [float(r[key]) for r in self.repetitions if r.get(key) is not None]
        return statistics.median(values) if values else None

    def part(self, name: str) -> float | None:
        """Median seconds of one part."""
        values = [float(r["parts"][name]) for r in self.repetitions if name in r.get("parts", {})]
        return statistics.median(values) if values else None

    def ratios(self, other: "Result") -> list[float]:
        """This contestant's seconds divided by the other's, for each repetition."""
        return [a["seconds"] / b["seconds"] for a, b in zip(self.repetitions, other.repetitions, strict=False)]

    def row(self, variant: str, against: "Result") -> dict[str, Any]:
        """A row of the case's table. Its ratio divides the seconds by those of `against` in the same repetitions."""
        seconds = [float(r["seconds"]) for r in self.repetitions]
        ratios = self.ratios(against)
        median, units = self.median("seconds"), self.median("units")
        return {
            "variant": variant,
            "contestant": self.name,
            "seconds": median,
            "spread": [min(seconds), max(seconds)] if seconds else None,
            "units_per_second": units / median if units is not None and median else None,
            "tokens": self.median("tokens"),
            "peak_mib": self.median("peak_mib"),
            "ratio": [statistics.median(ratios), min(ratios), max(ratios)] if ratios else None,
            "failed": self.failed,
        }


def compete(contestants: Sequence[Contestant], repetitions: int = REPETITIONS) -> list[Result]:
    """Runs all contestants in turn: one warm-up each, then `repetitions` rounds. Only one works at a time.

    A contestant that cannot start, or fails later, gets a result with the reason; the others continue.
    """
    running = {c.name: _Process(c) for c in contestants}
    failed: dict[str, str] = {}
    done: dict[str, list[dict[str, Any]]] = {c.name: [] for c in contestants}
    try:
        for round_number in range(-2, repetitions):  # -2: until it is ready; -1: the warm-up
            for name, process in running.items():
                if name in failed:
                    continue
                answer = process.ready() if round_number == -2 else process.go()
                if isinstance(answer, str):
                    failed[name] = answer
                elif round_number >= 0:
                    done[name].append(answer)
                    print(f"  {name}: {answer['seconds']:.2f} s", file=sys.stderr, flush=True)
    finally:
        for process in running.values():
            process.close()
    return [Result(c.name, () if c.name in failed else tuple(done[c.name]), failed.get(c.name)) for c in contestants]


class _Process:
    def __init__(self, contestant: Contestant) -> None:
        log = Path(os.environ.get("BENCH_LOGS") or Path(tempfile.gettempdir()) / "preceptor-bench")
        log.mkdir(parents=True, exist_ok=True)
        self._scratch = tempfile.TemporaryDirectory(prefix="contestant-")
        self._log = log / f"{contestant.module}.{contestant.name.replace(' ', '_').replace('/', '_')}.log"
        self._process = subprocess.Popen(
            [contestant.python, "-m", contestant.module, json.dumps(contestant.settings)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._log.open("w"),
            text=True,
            cwd=ROOT,
            env={**os.environ, **contestant.environment, "TMPDIR": self._scratch.name},
        )

    def ready(self) -> dict[str, Any] | str:
        """Waits until the contestant is ready."""
        return self._answer()

    def go(self) -> dict[str, Any] | str:
        """Runs the work once; returns its facts, or why there are none."""
        assert self._process.stdin is not None
        try:
            self._process.stdin.write("go\n")
            self._process.stdin.flush()
        except BrokenPipeError:
            pass
        return self._answer()

    def close(self) -> None:
        """Ends the process, and deletes what it left in its temporary folder, which it cannot do once it is ended."""
        self._process.terminate()
        try:
            self._process.wait(timeout=30)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._scratch.cleanup()

    def _answer(self) -> dict[str, Any] | str:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if line:
            return json.loads(line)
        lines = [line for line in self._log.read_text().splitlines() if line.strip()]
        return f"{lines[-1][:200] if lines else 'it said nothing'} (see {self._log})"
