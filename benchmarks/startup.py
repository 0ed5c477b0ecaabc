"""How long the command line takes to start."""

import statistics
import subprocess
import sys
import tempfile
from collections import Counter, defaultdict
from pathlib import Path
from typing import Any

from benchmarks.harness import ROOT, Contestant, Result, compete

REPETITIONS = 12
LISTED = 12
"""How many packages the table of imports lists."""
FLOOR = "python -c pass"
HELP = "preceptor --help"
COMPARISONS = ROOT / "examples" / "comparisons.jsonl"


def run(quick: bool) -> dict[str, Any]:
    """Starts commands in turn, and lists what they import."""
    preceptor = str(Path(sys.executable).with_name("preceptor"))
    with tempfile.TemporaryDirectory(prefix="startup-") as scratch:
        out = str(Path(scratch) / "{n}")  # a new folder for every repetition
        label = [preceptor, "label", str(COMPARISONS), "--out", out, "--judge", "scripted:random"]
        commands = {
            HELP: [preceptor, "--help"],
            FLOOR: [sys.executable, "-c", "pass"],
            "preceptor label --dry-run, scripted judge": [*label, "--dry-run"],
            "preceptor label of 24 comparisons, scripted judge": label,
            "preceptor label --dry-run, embedded judge": [*label[:-1], "embedded", "--dry-run"],
        }
        contestants = [
            Contestant(name, "benchmarks.workers.startup", {"command": command}) for name, command in commands.items()
        ]
        results = compete(contestants, 3 if quick else REPETITIONS)
        imports = [_imports(name, commands[name], scratch) for name in list(commands)[:4] if name != FLOOR]
    rows = [
        {
            **result.row(result.name, results[0]),
            "contestant": "python" if result.name == FLOOR else "preceptor",
            "ratio": None,  # these commands do different things, so a ratio has no meaning
            "cpu_seconds": result.median("cpu_seconds"),
        }
        for result in results
    ]
    return {
        "title": "Start-up",
        "setup": {"data": "examples/comparisons.jsonl, 24 comparisons", "files": "in the system's cache"},
        "rows": rows,
        "tables": imports,
        "headline": _headline(results[0]),
    }


def _headline(result: Result) -> list[dict[str, str]]:
    seconds = [float(repetition["seconds"]) for repetition in result.repetitions]
    if not seconds:
        return []
    value = f"{statistics.median(seconds):.2f} s [{min(seconds):.2f}-{max(seconds):.2f}]"
    return [{"figure": result.name, "value": value, "against": "files in the system's cache"}]


def _imports(name: str, command: list[str], scratch: str) -> dict[str, Any]:
    """Milliseconds to import the modules of each package, in a separate run."""
    script = [word.replace("{n}", f"{scratch}/imports{len(name)}") for word in command]
    done = subprocess.run([sys.executable, "-X", "importtime", *script], capture_output=True, text=True, check=True)
    seconds, modules = defaultdict[str, float](float), Counter[str]()
    for line in done.stderr.splitlines():
        if line.startswith("import time:") and line.split(":")[1].split("|")[0].strip().isdigit():
            own, _, module = line.removeprefix("import time:").split("|")
            package = module.strip().split(".")[0]
            package = "the standard library" if package in sys.stdlib_module_names else package
            seconds[package] += int(own) / 1e6
            modules[package] += 1
    longest = sorted(seconds.items(), key=lambda item: -item[1])[:LISTED]
    rows = [[package, modules[package], f"{1e3 * took:.0f}"] for package, took in longest]
    return {
        "title": f"Imports of `{name}`",
        "columns": ["package", "modules", "ms"],
        "rows": [*rows, ["all", modules.total(), f"{1e3 * sum(seconds.values()):.0f}"]],
    }
