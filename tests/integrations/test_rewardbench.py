"""RewardBench's rows are audited, and its own arithmetic reads the results."""

import importlib.util
import json
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import preceptor as pc
from preceptor.integrations.rewardbench import comparisons, write_results

ROWS = [
    {
        "id": number,
        "prompt": f"Say {number}",
        "chosen": f"number {number}",
        "rejected": f"NUMBER {number}",
        "chosen_model": "good",
        "rejected_model": "bad",
        "subset": ("alpacaeval-easy", "math-prm", "llmbar-natural")[number % 3],
    }
    for number in range(12)
]


@pytest.fixture(params=["jsonl", "parquet"])
def file(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    path = tmp_path / f"filtered.{request.param}"
    if request.param == "parquet":
        pq.write_table(pa.Table.from_pylist(ROWS), path)
    else:
        path.write_text("".join(json.dumps(row) + "\n" for row in ROWS))
    return path


def test_the_rows_are_audited_by_subset(file: Path, tmp_path: Path) -> None:
    judge = pc.Judge("scripted:random")
    audit = pc.audit(comparisons(file), judges=[judge], out=tmp_path / "audit")
    assert {"alpacaeval-easy", "math-prm", "llmbar-natural"} <= set(audit[judge].by_category)


def test_results_are_the_share_of_chosen_that_the_judge_prefers(file: Path, tmp_path: Path) -> None:
    labels = pc.label(comparisons(file), judges=[pc.Judge("scripted:random")], out=tmp_path / "labels")
    path = write_results(labels, tmp_path / "results", "org/random")
    scores = json.loads((tmp_path / "results" / "eval-set-scores" / "org" / "random.json").read_text())
    judge = pc.Judge("scripted:random")
    for name, subset, result in zip(scores["id"], scores["subset"], scores["results"], strict=True):
        row = ROWS[int(name)]
        preference = judge.compare(str(row["prompt"]), a=str(row["chosen"]), b=str(row["rejected"]))
        assert isinstance(preference, pc.Preference)
        assert (subset, result) == (row["subset"], float(preference.p_a > 0.5))
    assert path == tmp_path / "results" / "eval-set" / "org" / "random.json"
    grouped = json.loads(path.read_text())
    first = [result for result, subset in zip(scores["results"], scores["subset"], strict=True) if subset == "math-prm"]
    assert grouped["math-prm"] == sum(first) / 4


def test_rewardbench_computes_its_sections_from_the_results(
    file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    constants = rewardbench("constants")
    monkeypatch.setitem(sys.modules, "rewardbench", ModuleType("rewardbench"))
    monkeypatch.setitem(sys.modules, "rewardbench.models", SimpleNamespace(REWARD_MODEL_CONFIG={}))
    utils = module_at(Path(constants.__file__).with_name("utils.py"))
    labels = pc.label(comparisons(file), judges=[pc.Judge("scripted:random")], out=tmp_path / "labels")
    grouped = json.loads(write_results(labels, tmp_path / "results", "org/random").read_text())
    sections = utils.calculate_scores_per_section(constants.EXAMPLE_COUNTS, constants.SUBSET_MAPPING, grouped)
    assert sections["Reasoning"] == grouped["math-prm"]
    assert sections["Chat"] == grouped["alpacaeval-easy"]


def rewardbench(name: str) -> Any:
    """A module of RewardBench. The package as a whole imports all its reward models, which need an old transformers."""
    found = importlib.util.find_spec("rewardbench")
    if found is None or not found.submodule_search_locations:
        pytest.skip("rewardbench is not installed")
    return module_at(Path(found.submodule_search_locations[0]) / f"{name}.py")


def module_at(file: Path) -> Any:
    spec = importlib.util.spec_from_file_location(file.stem, file)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_a_row_without_a_column_is_named(tmp_path: Path) -> None:
    (tmp_path / "rows.jsonl").write_text('{"id": 1, "prompt": "x", "chosen": "y", "rejected": "z"}\n')
    with pytest.raises(pc.UsageError, match=r'rows\.jsonl:1: no "subset"'):
        comparisons(tmp_path / "rows.jsonl")
