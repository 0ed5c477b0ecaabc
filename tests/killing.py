"""Runs of the command line that kill themselves (SIGKILL) at places that hurt."""

import os
import sqlite3
import subprocess
import sys
from pathlib import Path

# Runs the command line and kills its own process: at the n-th synchronisation of a file, which lies inside the writing
# of a checkpoint, a state or a row; or at the n-th answer of the judge, before its batch is on record.
DRIVER = """
import os, signal, sys
kind, count = sys.argv[1], int(sys.argv[2])
left = [count]
def die(*_):
    left[0] -= 1
    if left[0] == 0:
        os.kill(os.getpid(), signal.SIGKILL)
if kind == "sync":
    import preceptor.store.files
    real = os.fsync
    os.fsync = lambda handle: (die(), real(handle))
if kind == "judge":
    import preceptor.backends.scripted as scripted
    script = scripted.SCRIPTS["random"]
    scripted.SCRIPTS["random"] = lambda request: (die(), script(request))[1]
from preceptor.cli.app import main
sys.argv = ["preceptor", *sys.argv[3:]]
main()
"""

ONE_THREAD = {**os.environ, "OMP_NUM_THREADS": "1"}


def drive(kind: str, count: int, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", DRIVER, kind, str(count), *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False, env=ONE_THREAD)


def calls(run: Path) -> list[tuple[str, str]]:
    with sqlite3.connect(run / "ledger.sqlite") as connection:
        return connection.execute("SELECT key, outcome FROM calls ORDER BY key").fetchall()
