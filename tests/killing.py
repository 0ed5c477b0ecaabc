"""Runs of the command line that send themselves a signal (SIGKILL, mostly) at places that hurt."""

import os
import signal
import sqlite3
import subprocess
import sys
from pathlib import Path

# Runs the command line and signals its own process: at the n-th synchronisation of a file, which lies inside the
# writing of a checkpoint, a state or a row; at the n-th answer of the judge, before its batch is on record; or while
# the n-th model is being loaded.
DRIVER = """
import os, signal, sys
kind, count, sent = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
left = [count]
def die(*_):
    left[0] -= 1
    if left[0] == 0:
        os.kill(os.getpid(), sent)
if kind == "sync":
    import preceptor.store.files
    real = os.fsync
    os.fsync = lambda handle: (die(), real(handle))
if kind == "judge":
    import preceptor.backends.scripted as scripted
    script = scripted.SCRIPTS["random"]
    scripted.SCRIPTS["random"] = lambda request: (die(), script(request))[1]
if kind == "load":
    import preceptor.backends.transformers.loading as loading
    hashed = loading.files_hash
    loading.files_hash = lambda files: (die(), hashed(files))[1]
from preceptor.cli.app import main
sys.argv = ["preceptor", *sys.argv[4:]]
main()
"""

ONE_THREAD = {**os.environ, "OMP_NUM_THREADS": "1"}


def _default_signals() -> None:
    """A shell's background job ignores interrupts, and one under nohup hang-ups; so would what it starts."""
    for each in (signal.SIGINT, signal.SIGHUP, signal.SIGTERM):
        signal.signal(each, signal.SIG_DFL)


def drive(
    kind: str, count: int, *arguments: str, sent: signal.Signals = signal.SIGKILL
) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", DRIVER, kind, str(count), str(int(sent)), *arguments]
    return subprocess.run(
        command,
        capture_output=True,
        text=True,
        check=False,
        env=ONE_THREAD,
        preexec_fn=_default_signals,
    )


def calls(run: Path) -> list[tuple[str, str]]:
    with sqlite3.connect(run / "ledger.sqlite") as connection:
        return connection.execute("SELECT key, outcome FROM calls ORDER BY key").fetchall()
