"""Judging needs neither torch nor the packages around it, and a local judge none of those that train."""

import subprocess
import sys
from pathlib import Path


def test_judging_labelling_audits_estimates_and_evaluations_without_torch() -> None:
    program = [sys.executable, str(Path(__file__).parent / "light_use.py"), "--forbid"]
    done = subprocess.run(program, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_a_local_model_judges_without_the_packages_that_train(tmp_path: Path) -> None:
    program = (
        "import sys; from light_use import COMPARISONS, done, forbid\n"
        "forbid(('accelerate', 'datasets', 'peft', 'trl'))\n"
        "labelled = done('label', str(COMPARISONS), '--limit', '2', '--judge', 'embedded', '--out', sys.argv[1])\n"
        "assert labelled['counts']['preferences'] == 2, labelled"
    )
    command = [sys.executable, "-c", program, str(tmp_path / "labels")]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=Path(__file__).parent)
    assert done.returncode == 0, done.stderr
