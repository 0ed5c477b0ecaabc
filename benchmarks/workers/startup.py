"""Starts a command and waits until it ends."""

import os
import subprocess
import sys
from collections.abc import Callable
from typing import Any

from benchmarks.worker import serve


def prepare(settings: dict[str, Any]) -> Callable[[], dict[str, Any]]:
    """Settings: `command`, a list in which `{n}` becomes the number of the repetition."""
    done = 0

    def work() -> dict[str, Any]:
        nonlocal done
        command = [word.replace("{n}", str(done)) for word in settings["command"]]
        done += 1
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
        _, status, used = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode:
            sys.exit(f"{command} ended with {process.returncode}")
        return {"peak_mib": used.ru_maxrss / 1024, "cpu_seconds": used.ru_utime + used.ru_stime}

    return work


if __name__ == "__main__":
    serve(prepare)
