"""AlpacaEval's outputs are labelled, and its own metric computes the same leaderboard from the annotations."""

import csv
import json
from pathlib import Path

import pytest

import preceptor as pc
from preceptor.integrations.alpaca_eval import comparisons, write_annotations


def outputs(path: Path, generator: str, count: int = 9) -> Path:
    rows = [{"instruction": f"Say {n}", "output": f"{generator} {n}", "generator": generator} for n in range(count)]
    path.write_text(json.dumps(rows))
    return path


@pytest.fixture
def labels(tmp_path: Path) -> pc.LabelResult:
    rows = comparisons(outputs(tmp_path / "old.json", "old"), outputs(tmp_path / "new.json", "new"))
    return pc.label(rows, judges=[pc.Judge("scripted:random")], out=tmp_path / "labels")


def test_annotations_are_the_judges_probabilities(labels: pc.LabelResult, tmp_path: Path) -> None:
    annotations = json.loads(write_annotations(labels, tmp_path / "results").read_text())
    assert len(annotations) == 9
    judge = pc.Judge("scripted:random")
    for annotation in annotations:
        number = annotation["instruction"].removeprefix("Say ")
        assert (annotation["output_1"], annotation["output_2"]) == (f"old {number}", f"new {number}")
        assert (annotation["generator_1"], annotation["generator_2"]) == ("old", "new")
        preference = judge.compare(annotation["instruction"], a=f"old {number}", b=f"new {number}")
        assert isinstance(preference, pc.Preference)
        assert annotation["preference"] == pytest.approx(2 - preference.p_a)


def test_the_leaderboard_is_alpaca_evals(labels: pc.LabelResult, tmp_path: Path) -> None:
    metrics = pytest.importorskip("alpaca_eval.metrics", reason="alpaca_eval is not installed")
    annotations = json.loads(write_annotations(labels, tmp_path).read_text())
    [entry] = csv.DictReader((tmp_path / "leaderboard.csv").open())
    assert entry[""] == "new"
    assert float(entry["avg_length"]) == 5
    for name, value in metrics.get_winrate(annotations).items():
        assert float(entry[name]) == pytest.approx(float(value)), name


def test_other_instructions_are_an_error(tmp_path: Path) -> None:
    with pytest.raises(pc.UsageError, match="2 instructions"):
        comparisons(outputs(tmp_path / "old.json", "old"), outputs(tmp_path / "new.json", "new", count=7))


def test_a_preference_for_neither_is_a_draw(tmp_path: Path) -> None:
    row = {"prompt": "Say x", "response_a": "same", "response_b": "same"}
    even = pc.label([row], judges=[pc.Judge("scripted:first")], out=tmp_path / "labels")
    [annotation] = json.loads(write_annotations(even, tmp_path / "results").read_text())
    assert annotation["preference"] == 1.5
    [entry] = csv.DictReader((tmp_path / "results" / "leaderboard.csv").open())
    assert (entry["n_draws"], entry["discrete_win_rate"]) == ("1", "50.0")
