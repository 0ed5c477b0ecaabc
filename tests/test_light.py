"""Judging needs neither torch nor the packages around it."""

import subprocess
import sys
from pathlib import Path


def test_judging_labelling_audits_estimates_and_evaluations_without_torch() -> None:
    program = [sys.executable, str(Path(__file__).parent / "light_use.py"), "--forbid"]
    done = subprocess.run(program, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
