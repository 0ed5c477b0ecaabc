"""`preceptor label` and `audit` with responses scored alone, on a constitution that has a score rubric only."""

import json
from pathlib import Path
from typing import Any

import pytest

from labelling import Job, labelled, planned
from preceptor.core.errors import UsageError
from preceptor.core.progress import Silence
from preceptor.judging.specs import JudgeSpec, check_judges, every_judge, read_judges
from preceptor.tasks.audit import audit

SCORED = (JudgeSpec(model="scripted:random", constitution="warm_tone", variant="scored"),)
ROWS: list[dict[str, Any]] = [
    {"prompt": f"question {i}", "responses": [f"x {i}", f"y {i}", f"z {i}"]} for i in range(8)
]


def read(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


@pytest.fixture
def job(tmp_path: Path) -> Job:
    data = tmp_path / "rows.jsonl"
    data.write_text("".join(json.dumps(row) + "\n" for row in ROWS))
    return {"rows": data, "out": tmp_path / "out", "judges": SCORED}


def test_every_response_is_scored_once_and_the_estimate_says_so(job: Job) -> None:
    counted = planned(job)
    assert (counted.rows, counted.calls) == (24, 24)  # three pairs of a row's three responses
    labels = labelled(job)
    assert labels.ledger.calls == 24
    assert labels.ledger.prompt_tokens == 24  # the scripted model bills one
    rows = read(job["out"] / "preferences.jsonl")
    assert [row["row"] for row in rows] == list(range(24))
    for row in rows:
        ab, ba = row["verdicts"]
        assert (ab["order"], ba["order"]) == ("ab", "ba")
        p_a = row["p_chosen"] if row["chosen_is"] == "a" else 1 - row["p_chosen"]
        assert ab["p_a"] == ba["p_a"] == pytest.approx(p_a)
        assert json.loads(row["settings"]) == {"rationale": False, "shown": "alone"}
    assert labels.counts.position_bias == 0.0
    assert labels.counts.first_position_rate == 0.5
    assert labelled(job).calls_in_this_process == 0


def test_preferences_of_three_responses_never_go_in_a_circle(job: Job) -> None:
    """Each pair is compared by the same three scores, so the pairs of a row agree on an order."""
    labelled(job)
    by_prompt: dict[str, dict[str, float]] = {}
    for row in read(job["out"] / "preferences.jsonl"):
        wins = by_prompt.setdefault(row["prompt_id"], {})
        wins[row["chosen"][0]["content"]] = wins.get(row["chosen"][0]["content"], 0) + 1
    assert [sorted(wins.values()) for wins in by_prompt.values()] == [[1, 2]] * 8


def test_one_judge_of_an_ensemble_scores_and_the_other_compares(job: Job, tmp_path: Path) -> None:
    file = tmp_path / "judges.toml"
    file.write_text(
        '[[judges]]\nmodel = "scripted:random"\nconstitution = "warm_tone"\nsettings = { shown = "alone" }\n'
        '[[judges]]\nmodel = "scripted:random"\nconstitution = "warm_tone"\n'
    )
    labels = labelled(job, judges=read_judges(file), limit=3)
    assert labels.ledger.calls == 3 + 3 * 2
    assert all(len(row["verdicts"]) == 4 for row in read(job["out"] / "preferences.jsonl"))


def test_an_audit_measures_it_beside_the_others(job: Job, tmp_path: Path) -> None:
    people = tmp_path / "people.jsonl"
    rows = [{"prompt": f"q{i}", "response_a": f"a{i}", "response_b": f"b{i}", "label": "ab"[i % 2]} for i in range(30)]
    people.write_text("".join(json.dumps(row) + "\n" for row in rows))
    judges = (*SCORED, JudgeSpec(model="scripted:random", constitution="warm_tone"))
    scored, shown_together = audit(people, judges=judges, out=tmp_path / "audit", progress=Silence()).judges
    assert scored.label.endswith("scored")
    assert shown_together.position_bias is not None
    assert scored.position_bias == 0.0 < shown_together.position_bias
    assert scored.single_order_alignment == scored.alignment
    assert scored.calibrated is not None
    assert scored.calibrated.position_bias == pytest.approx(0.0, abs=1e-6)


def test_a_rationale_without_a_place_is_refused_before_anything_is_opened(job: Job) -> None:
    spec = SCORED[0].model_copy(update={"variant": "scored+cot", "model": "openai:none@http://localhost:1/v1"})
    with pytest.raises(UsageError, match="no place for a rationale"):
        labelled(job, judges=spec)
    assert not job["out"].exists()


def test_a_constitution_that_judges_claims_compares_by_scores_where_nothing_else_is_said(tmp_path: Path) -> None:
    by_claims = every_judge(["scripted:random"], ["groundedness", "helpful"], [], [])
    assert [spec.way for spec in by_claims] == ["scored", "detailed"]
    assert JudgeSpec(constitution="groundedness").resolved().shown == "alone"
    with pytest.raises(UsageError, match="use the variant scored, not detailed"):
        check_judges([JudgeSpec(constitution="groundedness", variant="detailed")])
    with pytest.raises(UsageError, match="no criteria to put into one call"):
        check_judges([JudgeSpec(constitution="groundedness", variant="scored+one-call")])
    data = tmp_path / "rows.jsonl"
    rows = [
        {"prompt": f"It rained on day {i}. Say so.", "responses": [f"Rain {i}.", f"Sun. Snow {i}."]} for i in range(4)
    ]
    data.write_text("".join(json.dumps(row) + "\n" for row in rows))
    labels = labelled({"rows": data, "out": tmp_path / "out", "judges": by_claims[:1]})
    assert labels.counts.preferences == 4
    [first, *_] = read(tmp_path / "out/preferences.jsonl")
    told = [line for verdict in first["verdicts"] for line in verdict["rationale"].splitlines()]
    assert len([line for line in told if line[0].isdigit()]) == 1 + 2  # a claim for each sentence
