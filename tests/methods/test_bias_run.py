"""A run whose judge is corrected says so, and by how much."""

import json
from pathlib import Path
from statistics import fmean

import pytest

from preceptor.core.types import Preference
from preceptor.judging import bias_correction
from preceptor.judging.bias_correction import BiasCorrection
from preceptor.judging.judge import Judge
from preceptor.judging.settings import PairwiseSettings
from preceptor.judging.text_features import length
from preceptor.methods.execute import execute
from preceptor.recipes.load import load_recipe
from preceptor.runs.directory import RunDirectory
from small import Told, known, settings


def test_a_run_with_a_corrected_judge(tmp_path: Path, tiny_folder: Path) -> None:
    with Judge("scripted:random", "warm_tone", settings=PairwiseSettings(shown="alone")) as judge:
        outcome = judge.compare("q", "x", "y")
    assert isinstance(outcome, Preference)
    rater, path = outcome.rater, tmp_path / "bias.json"
    about = {"judge": rater.model, "constitution_hash": rater.constitution_hash, "settings": rater.settings}
    excess = {"preference": {}, "score": {"length": 1.5}}
    bias_correction.save(BiasCorrection.model_validate(about | excess | {"prompts": 50}), path)
    overrides = [*settings(tmp_path, tiny_folder), "rl.steps=1", "judge.model=scripted:random", f"judge.bias={path}"]
    directory = RunDirectory.create(tmp_path / "run", load_recipe("quickstart", overrides))
    summary = execute(directory, Told())
    taken = known(summary.bias_correction)
    assert taken.excess == {"length": 1.5}
    before = [length(response.text) for response in directory.report_data(summary).before.responses]
    assert taken.before == pytest.approx(1.5 * fmean(before))
    assert taken.after is not None
    assert len(json.loads((directory.path / "inputs.json").read_text())["bias correction"]) == 16
    report = directory.report.read_text()
    assert "in excess of people" in report
    assert "+1.50 for length" in report
