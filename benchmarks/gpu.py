"""`python -m benchmarks.gpu --out FOLDER` measures preceptor on one GPU, in at most 8 minutes.

Packages are checked first. Each part is a process of its own with a time limit; it writes what it found after each
measurement, so a part that fails or takes too long loses only the rest of itself. `--device cpu --scale tiny` tries all
of it without a GPU.
"""

import argparse
import json
import os
import subprocess
import sys
import time
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from benchmarks.__main__ import machine
from benchmarks.harness import ROOT

PACKAGES = ("torch", "transformers", "trl", "peft", "accelerate", "datasets")
MOST_SECONDS = 8 * 60
"""Of all parts together."""
PARTS = {"parity": 120, "embedded": 110, "0.5B": 130, "1.5B": 150}
"""The most seconds of each part; the last ones get what the others left."""
TINY = {"parity": 300, "tiny": 300}
"""The parts of a trial without a GPU, which may be on a busy machine."""


def main(given: list[str] | None = None) -> int:
    """Exits with 0 if everything was measured, 1 if a part failed, and 2 if nothing could be measured."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.gpu", description=__doc__)
    parser.add_argument("--out", type=Path, required=True, help="folder for the results")
    parser.add_argument("--device", choices=("cuda", "cpu"), default="cuda")
    parser.add_argument("--scale", choices=("full", "tiny"), default="full")
    parser.add_argument("--parts", nargs="*", help=f"any of {', '.join(PARTS)} (all by default)")
    asked = parser.parse_args(given)
    if missing := lacking(asked.device):
        print(f"nothing was measured: {missing}", file=sys.stderr)
        return 2
    limits = PARTS if asked.scale == "full" else TINY
    if unknown := set(asked.parts or ()) - set(limits):
        parser.error(f"there is no part {', '.join(sorted(unknown))}; there are {', '.join(limits)}")
    asked.out.mkdir(parents=True, exist_ok=True)
    total = MOST_SECONDS if asked.scale == "full" else sum(limits.values())
    results = run([part for part in limits if part in (asked.parts or limits)], limits, total, asked)
    (asked.out / "gpu.json").write_text(json.dumps({"machine": machine(), "parts": results}, indent=1) + "\n")
    (asked.out / "table.md").write_text(table(results))
    print(table(results))
    return 0 if all(result["measured"] and not result["failed"] for result in results.values()) else 1


def lacking(device: str) -> str | None:
    """What this environment lacks, or None."""
    if missing := [package for package in PACKAGES if find_spec(package) is None]:
        return f"the packages {', '.join(missing)} are not installed; pip install 'preceptor[all]'"
    import torch

    if device == "cuda" and not torch.cuda.is_available():
        return f"torch {torch.__version__} sees no GPU; install a torch for CUDA, or give --device cpu --scale tiny"
    return None


def run(parts: list[str], limits: dict[str, int], total: float, asked: Any) -> dict[str, Any]:
    """Runs parts one after another; what each has measured is in its own file too."""
    began = time.monotonic()
    results: dict[str, Any] = {}
    for part in parts:
        left = min(limits[part], total - (time.monotonic() - began))
        print(f"{part}: at most {left:.0f} s", file=sys.stderr, flush=True)
        results[part] = _part(part, left, asked)
    return results


def _part(part: str, limit: float, asked: Any) -> dict[str, Any]:
    """One part in a process of its own."""
    file = (asked.out / f"{part}.json").absolute()
    file.unlink(missing_ok=True)
    said: dict[str, Any] = {"part": part, "measured": {}, "failed": {}}
    if limit <= 0:
        return {**said, "failed": {"all": "no time was left"}}
    worker = ["gpu_parity"] if part == "parity" else ["gpu_speed", part]
    command = [sys.executable, "-m", f"benchmarks.workers.{worker[0]}", *worker[1:], asked.scale, str(file)]
    hidden = {"CUDA_VISIBLE_DEVICES": ""} if asked.device == "cpu" else {}
    failed: dict[str, str] = {}
    with (asked.out / f"{part}.log").open("w") as log:
        try:
            done = subprocess.run(
                command, cwd=ROOT, env={**os.environ, **hidden}, stdout=log, stderr=log, timeout=limit, check=False
            )
            if done.returncode:
                failed["process"] = f"it ended with code {done.returncode}; see {part}.log"
        except subprocess.TimeoutExpired:
            failed["process"] = f"it was stopped after {limit:.0f} s; what it had measured is kept"
    if file.exists():
        said = json.loads(file.read_text())
    return {**said, "failed": {**said["failed"], **failed}}


def table(results: dict[str, Any]) -> str:
    """What was measured, in Markdown."""
    lines = ["| part | measurement | result | share of the card's rate | of what a product reaches | peak GiB |"]
    lines.append("| --- | --- | --- | --- | --- | --- |")
    for part, result in results.items():
        reached = result["measured"].get("product of matrices", {}).get("flop_per_second")
        stated = result.get("card", {}).get("specified")
        for name, facts in result["measured"].items():
            flop = facts.get("flop_per_second")
            shares = [f"{100 * flop / rate:.1f}%" if flop and rate else "" for rate in (stated, reached)]
            peak = facts.get("peak_gib")
            cells = [part, name, _words(facts), *shares, "" if peak is None else f"{peak:.1f}"]
            lines.append(f"| {' | '.join(cells)} |")
        for name, why in result["failed"].items():
            lines.append(f"| {part} | {name} | failed: {why.replace('|', '/')} | | | |")
    cards = {result["card"]["name"] for result in results.values() if "card" in result}
    return "\n".join([f"Device: {', '.join(sorted(cards)) or 'unknown'}", "", *lines, ""])


def _words(facts: dict[str, Any]) -> str:
    if "labels_per_second" in facts:
        return f"{facts['labels_per_second']:.2f} labels a second"
    if "seconds" in facts and "responses" in facts:
        return f"{facts['seconds']:.3f} s for {facts['responses']} responses"
    if "ok" in facts:
        found = ", ".join(f"{k} {v:.3g}" if isinstance(v, float) else f"{k} {v}" for k, v in facts.items() if k != "ok")
        return f"{'agrees' if facts['ok'] else 'DIFFERS'}: {found}"
    return f"{facts['flop_per_second'] / 1e12:.3g} TFLOP a second"


if __name__ == "__main__":
    sys.exit(main())
