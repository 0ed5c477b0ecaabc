"""`preceptor audit` from a file to its JSON and report, on scripted judges."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from preceptor.core.errors import UsageError
from preceptor.core.progress import Silence
from preceptor.judging import calibration
from preceptor.judging.specs import JudgeSpec
from preceptor.tasks.audit import AuditJob, run_audit
from preceptor.tasks.label import LabelJob, run_label

KEYS = {
    *("judge", "constitution", "n", "alignment", "alignment_ci", "single_order_alignment", "position_bias"),
    *("first_position_rate", "longer_preferred_rate", "longer_baseline", "kappa", "ece", "brier", "failure_rate"),
    *("labels_per_s", "tokens_per_label", "cost_per_1000"),
}
# a is the longer response in half of the rows; people prefer a in every row but the last ten.
ROWS: list[dict[str, Any]] = [
    {
        "prompt": f"question {i}",
        "response_a": f"answer {i}" + (" and more" if i % 2 else ""),
        "response_b": f"other {i} yes",
        "label": "a" if i < 30 else "b",
        "category": "early" if i < 20 else "late",
    }
    for i in range(40)
]


@pytest.fixture
def job(tmp_path: Path) -> AuditJob:
    path = tmp_path / "people.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in ROWS))
    judges = (JudgeSpec(model="scripted:random"), JudgeSpec(model="scripted:first", variant="base"))
    return AuditJob(data=path, out=tmp_path / "out", judges=judges)


def test_the_json_has_every_measure_and_every_pair_of_judges(job: AuditJob) -> None:
    result = run_audit(job, Silence())
    assert json.loads((job.out / "audit.json").read_text()) == json.loads(json.dumps(result))
    random, first = result["judges"]
    assert random.keys() >= KEYS
    # The judge that prefers whatever stands first: right in one order exactly where people prefer a, else undecided.
    assert first["position_bias"] == 1.0
    assert first["first_position_rate"] == 1.0
    assert first["alignment"] == 0.5
    assert first["single_order_alignment"] == 30 / 40
    assert first["undecided"] == 40
    assert first["cost_per_1000"] == 0.0
    assert [warning["kind"] for warning in first["warnings"]] == ["position", "near_half"]
    assert result["usable"] == []  # neither is better than chance
    assert random["failure_rate"] == 0.0
    assert set(random["by_category"]) == {"early", "late"}
    [pair] = result["comparisons"]
    assert (pair["judge_1"], pair["judge_2"], pair["n"]) == ("scripted:random", "scripted:first", 40)
    assert "<html" in (job.out / "report.html").read_text()
    judged = [json.loads(line) for line in (job.out / "judgements.jsonl").read_text().splitlines()]
    assert len(judged) == 80
    assert all(row["human_p_chosen"] in (0.0, 1.0) for row in judged)


def test_a_second_call_asks_nothing_and_says_the_same(job: AuditJob) -> None:
    first = run_audit(job, Silence())
    second = run_audit(job, Silence())
    for one, other in zip(first["judges"], second["judges"], strict=True):
        assert one["labels_per_s"] > 0
        assert other["labels_per_s"] is None
        assert {**one, "labels_per_s": None} == other


def test_an_ensemble_is_one_judge_more(job: AuditJob) -> None:
    result = run_audit(replace(job, ensemble=True), Silence())
    random, _, both = result["judges"]
    assert both["judge"] == "ensemble of all"
    assert both["alignment"] == random["alignment"]  # the other one's preference is 0.5 throughout
    assert len(result["comparisons"]) == 3


def test_a_saved_calibration_is_used_by_label_and_refused_for_another_judge(job: AuditJob, tmp_path: Path) -> None:
    saved = tmp_path / "calibrations" / "random.json"
    alone = replace(job, judges=job.judges[:1], save_calibration=saved, out=tmp_path / "alone")
    run_audit(alone, Silence())
    slope = calibration.load(saved).slope
    assert 0 <= slope < 0.5  # the judge knows nothing
    spec = JudgeSpec(model="scripted:random", calibration=str(saved))
    summary = run_label(LabelJob(data=job.data, out=tmp_path / "labels", judges=(spec,)), Silence())
    rows = [json.loads(line) for line in (tmp_path / "labels" / "preferences.jsonl").read_text().splitlines()]
    raw = [abs(sum(v["p_a"] for v in row["verdicts"]) / 2 - 0.5) for row in rows]
    assert sum(row["p_chosen"] - 0.5 for row in rows) < sum(raw)
    assert json.loads(rows[0]["settings"])["calibration"] == calibration.load(saved).hash
    assert summary["rater"]["settings"]["calibration"] == calibration.load(saved).hash
    other = JudgeSpec(model="scripted:first", calibration=str(saved))
    with pytest.raises(UsageError, match="fitted on a judge whose model"):
        run_label(LabelJob(data=job.data, out=tmp_path / "no", judges=(other,)), Silence())
    with pytest.raises(UsageError, match="for one judge"):
        run_audit(replace(job, save_calibration=saved), Silence())


def test_rows_without_people_are_not_audited(job: AuditJob) -> None:
    row = {"prompt": "q", "response_a": "x", "response_b": "y"}
    with job.data.open("a") as stream:
        stream.write(json.dumps(row) + "\n")
    assert run_audit(job, Silence())["judges"][0]["rows"] == 40
    with pytest.raises(UsageError, match=r'people\.jsonl:41: no "label"'):
        run_audit(replace(job, strict=True), Silence())
    job.data.write_text(json.dumps(row) + "\n")
    with pytest.raises(UsageError, match='no "label"'):
        run_audit(job, Silence())
