"""Environments that are written in a script, and what becomes of them when the program ends."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from preceptor.core.errors import UsageError
from preceptor.environments.loading import load_environment

SCRIPT = """
import preceptor as pc

class Own:
    def reset(self, **row): ...

    def tool(self) -> str:
        'Does.'
        return "done"

def main():
    with pc.EnvironmentPool(Own, {"seconds": 300}) as pool:
        (episode,) = pool.start([{"id": "p"}])
        print(pool.call([(episode, ("tool", ""))])[0].text)

"""


def ran(folder: Path, last: str) -> subprocess.CompletedProcess[str]:
    file = folder / "script.py"
    file.write_text(SCRIPT + last)
    return subprocess.run([sys.executable, str(file)], capture_output=True, text=True, check=False)


def test_a_class_in_a_script_runs(tmp_path: Path):
    assert ran(tmp_path, 'if __name__ == "__main__":\n    main()').stdout == "done\n"


def test_a_script_that_opens_a_pool_when_it_is_loaded_is_told_so(tmp_path: Path):
    done = ran(tmp_path, "main()")
    assert done.returncode == 1
    assert "__main__" in done.stderr.splitlines()[-1]


def test_a_class_inside_a_function_is_refused():
    class Own: ...

    with pytest.raises(UsageError, match="in no file"):
        load_environment(Own)


HOLDS = """
import os

class Holds:
    def reset(self, path, **row):
        self.held = os.open(path, os.O_WRONLY)

    def hang(self) -> str:
        'Hangs.'
        while True: pass
"""
KILLED = """
import os, signal, sys, threading
import preceptor as pc

pool = pc.EnvironmentPool("holds.py:Holds", {"seconds": 3000})
idle, busy = pool.start([{"id": "idle", "path": "held"}, {"id": "busy", "path": "held"}])
threading.Thread(target=pool.call, args=[[(busy, ("hang", ""))]], daemon=True).start()
os.kill(os.getpid(), signal.SIGKILL)
"""


def test_environments_end_when_the_program_is_killed_even_one_that_hangs(tmp_path: Path):
    (tmp_path / "holds.py").write_text(HOLDS)
    os.mkfifo(tmp_path / "held")
    held = os.open(tmp_path / "held", os.O_RDONLY | os.O_NONBLOCK)
    done = subprocess.run([sys.executable, "-c", KILLED], cwd=tmp_path, check=False)
    assert done.returncode == -signal.SIGKILL
    os.set_blocking(held, True)
    assert os.read(held, 1) == b""  # returns once nobody holds the other end
    os.close(held)
