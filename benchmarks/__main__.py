"""`python -m benchmarks [--quick] [CASE ...]` measures; `python -m benchmarks report` renders what was measured."""

import argparse
import importlib
import json
import os
import platform
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import traceback
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

from benchmarks import report
from benchmarks.harness import ROOT, this_kind

CASES = ("startup", "roofline", "growth", "client", "labelling", "rl_step", "pairs", "kinds")
RESULTS = ROOT / "benchmarks" / "results"
QUICK_RESULTS = Path(tempfile.gettempdir()) / "preceptor-bench" / "results"
"""Quick runs only try the benchmarks out and do not overwrite measurements."""
PACKAGES = ("preceptor", "torch", "transformers", "trl", "peft")


def main() -> int:
    """Runs cases one after another. Exit codes: 0 done, 1 something failed, 2 usage."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument(
        "cases", metavar="CASE", nargs="*", help=f"any of {', '.join(CASES)} (all by default), or report"
    )
    parser.add_argument(
        "--quick", action="store_true", help="fewer units and repetitions, to check that everything works"
    )
    parser.add_argument("--out", type=Path, help="folder for the results")
    parser.add_argument("--docs", type=Path, default=ROOT / "docs" / "benchmarks.md", help="page that report fills in")
    given = parser.parse_args()
    out = given.out or (QUICK_RESULTS if given.quick else RESULTS)
    if given.cases == ["report"]:
        return _report(out, given.docs)
    if unknown := [case for case in given.cases if case not in CASES]:
        parser.error(f"there is no case {', '.join(unknown)}; there are {', '.join(CASES)}, and report")
    out.mkdir(parents=True, exist_ok=True)
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(128 + number))  # temporary folders are then deleted
    fine = [_measure(case, out, quick=given.quick) for case in given.cases or CASES]
    (out / "table.md").write_text(report.full(report.read(out), out, out))
    print(f"results {out}")
    return 0 if all(fine) else 1


def _measure(case: str, out: Path, *, quick: bool) -> bool:
    """Runs one case and writes its results. Returns whether preceptor finished all of it."""
    print(f"{case}:", file=sys.stderr, flush=True)
    facts, start = machine(), time.perf_counter()
    try:
        module = importlib.import_module(f"benchmarks.{case}")
        result: dict[str, Any] = module.run(quick)
        seconds = time.perf_counter() - start
        written = {"case": case, "quick": quick, "machine": facts, "case_seconds": seconds, **result}
        (out / f"{case}.json").write_text(json.dumps(written, indent=1, ensure_ascii=False) + "\n")
        if hasattr(module, "figure"):
            module.figure(result, out / f"{case}.svg")
    except Exception as error:  # the only place that catches a case's failure, so that the other cases still run
        traceback.print_exc()
        print(f"{case} failed: {error}", file=sys.stderr)
        return False
    print(report.case_text(written), flush=True)
    failed = {row["contestant"]: row["failed"] for row in result["rows"] if row["failed"]}
    for contestant, reason in failed.items():
        print(f"{case}: {contestant} failed: {reason}", file=sys.stderr)
    return "preceptor" not in failed


def _report(results: Path, page: Path) -> int:
    """Fills in the page of the documentation."""
    cases = report.read(results)
    if not cases:
        print(f"{results}: holds no results; run `python -m benchmarks` first", file=sys.stderr)
        return 1
    if report.fill(page, f"{report.short(cases)}\n{report.full(cases, results, page.parent)}"):
        return 0
    print(f"{page}: has no place for the tables; write {report.BEGIN} and {report.END} there", file=sys.stderr)
    return 1


def machine() -> dict[str, Any]:
    """The machine, versions, the code's revision, and how busy the machine is."""
    kind = this_kind()
    cores = len(os.sched_getaffinity(0))
    return {
        "cpu": _cpu(),
        "cores": cores,
        "threads": int(os.environ.get("OMP_NUM_THREADS", cores)),
        "instructions and precision": kind.name,
        "memory_gib": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30, 1),
        "os": platform.platform(terse=True),
        "python": platform.python_version(),
        "packages": {package: version(package) for package in PACKAGES},
        "revision": _revision(),
        "date": datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        "load": round(os.getloadavg()[0], 2),
    }


def _cpu() -> str:
    """The CPU's name, and its instruction sets that matter for matrix products."""
    try:
        facts = Path("/proc/cpuinfo").read_text()
    except OSError:
        return platform.processor() or platform.machine()
    name = re.search(r"model name\s*:\s*(.+)", facts)
    kinds = [kind for kind in ("avx2", "avx512f", "avx512_bf16", "amx_bf16") if re.search(rf"\b{kind}\b", facts)]
    return f"{name[1] if name else platform.machine()} ({', '.join(kinds)})"


def _revision() -> str:
    """The commit, with a plus sign if files of the package differ from it."""
    git = shutil.which("git")
    if git is None:
        return "unknown"

    def asked(*words: str) -> str:
        return subprocess.run([git, *words], cwd=ROOT, capture_output=True, text=True, check=False).stdout.strip()

    return (asked("rev-parse", "--short=10", "HEAD") or "unknown") + ("+" if asked("status", "-s", "src") else "")


if __name__ == "__main__":
    sys.exit(main())
