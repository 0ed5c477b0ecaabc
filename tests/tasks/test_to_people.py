"""`preceptor label --to-people`: the comparisons that judges dispute, ready for people's labels."""

import json
from pathlib import Path
from typing import Any

import pytest

from labelling import Job, labelled
from preceptor.core.errors import UsageError
from preceptor.core.progress import Silence
from preceptor.judging.specs import JudgeSpec
from preceptor.store.comparisons import ComparisonRow, read_comparisons
from preceptor.store.for_people import write_for_people
from preceptor.store.outcomes import Outcomes
from preceptor.tasks.audit import audit

TWO = (JudgeSpec(model="scripted:random"), JudgeSpec(model="scripted:random", constitution="honest"))
ROWS: list[dict[str, Any]] = [
    {
        "prompt": f"question {i}",
        "response_a": f"answer {i}",
        "response_b": f"other {i} yes",
        "policy_a": "m",
        "cohort": "c",
    }
    for i in range(40)
]


def write(path: Path, rows: list[dict[str, Any]]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def read(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


@pytest.fixture
def job(tmp_path: Path) -> Job:
    return {"rows": write(tmp_path / "rows.jsonl", ROWS), "out": tmp_path / "out", "judges": TWO, "to_people": 5}


def test_the_most_disputed_come_first_without_what_the_judges_think(job: Job) -> None:
    labels = labelled(job)
    assert labels.for_people == 5
    preferences = read(job["out"] / "preferences.jsonl")
    asked = read(job["out"] / "for_people.jsonl")
    disputed = sorted(preferences, key=lambda row: -row["disagreement"])[:5]
    assert [row["id"] for row in asked] == [row["id"] for row in disputed]
    for row, before in zip(asked, disputed, strict=True):
        assert row == {
            "id": before["id"],
            "prompt": ROWS[before["row"]]["prompt"],
            "response_a": ROWS[before["row"]]["response_a"],
            "response_b": ROWS[before["row"]]["response_b"],
            "cohort": "c",
            "policy_a": "m",
            "selection": "disputed",
        }
    assert "5 of these comparisons, in `for_people.jsonl`" in (job["out"] / "README.md").read_text()


def test_with_a_label_each_is_a_row_of_an_audit_under_the_same_id(job: Job, tmp_path: Path) -> None:
    labelled(job)
    rows = [{**row, "label": "b"} for row in read(job["out"] / "for_people.jsonl")]
    people = write(tmp_path / "labelled.jsonl", rows)
    original = {r.comparison.id: r.comparison for r in read_comparisons(job["rows"]) if isinstance(r, ComparisonRow)}
    for row in read_comparisons(people):
        assert isinstance(row, ComparisonRow)
        assert row.comparison == original[row.comparison.id]
    result = audit(people, judges=TWO[:1], out=tmp_path / "audit", progress=Silence())
    assert result.judges[0].rows == 5
    assert result.chosen == {"disputed": 5}
    assert str(result).startswith("! 5 of 5 rows were chosen because judges dispute them.")
    within = [row | {"selection": "cohort"} for row in rows]
    drawn = audit(within, judges=TWO[:1], out=tmp_path / "drawn", progress=Silence())
    assert str(drawn).startswith("! 5 of 5 rows were drawn within cohorts.")


def test_a_second_call_and_another_number_write_it_anew(job: Job) -> None:
    labelled(job)
    five = read(job["out"] / "for_people.jsonl")
    assert labelled(job).calls_in_this_process == 0
    assert read(job["out"] / "for_people.jsonl") == five
    assert labelled(job, to_people=1000).for_people == 40
    assert read(job["out"] / "for_people.jsonl")[:5] == five
    assert labelled(job, to_people=0).for_people is None
    assert len(read(job["out"] / "for_people.jsonl")) == 40


def test_peoples_work_in_the_file_is_never_overwritten(job: Job) -> None:
    labelled(job)
    file = job["out"] / "for_people.jsonl"
    rows = read(file)
    write(file, [rows[0], {**rows[1], "label": "a"}])
    before = file.read_bytes()
    with pytest.raises(UsageError, match=r"for_people\.jsonl:2: people's labels; move the file away"):
        labelled(job)
    assert file.read_bytes() == before
    labelled(job, to_people=0)
    assert file.read_bytes() == before


def test_of_a_judge_that_never_contradicts_itself_the_least_decided_come_first(job: Job) -> None:
    """Scored alone, both presentations say the same: no disagreement anywhere, so nearness to one half decides."""
    judges = (JudgeSpec(model="scripted:random", constitution="warm_tone", variant="scored"),)
    labelled(job, judges=judges)
    nearest = sorted(read(job["out"] / "preferences.jsonl"), key=lambda row: row["p_chosen"])[:5]
    assert [row["id"] for row in read(job["out"] / "for_people.jsonl")] == [row["id"] for row in nearest]


def test_who_has_a_label_is_not_asked_again_and_ties_are_in_the_order_of_the_data(tmp_path: Path) -> None:
    rows = [{**row, "label": "a"} if i < 3 else row for i, row in enumerate(ROWS[:8])]
    data = write(tmp_path / "rows.jsonl", rows)
    same = (JudgeSpec(model="scripted:first"),)  # 0.99 for whatever stands first: as much disagreement everywhere
    job: Job = {"rows": data, "out": tmp_path / "out", "judges": same, "to_people": 3}
    assert labelled(job).for_people == 3
    assert [row["prompt"] for row in read(job["out"] / "for_people.jsonl")] == [f"question {i}" for i in (3, 4, 5)]


def test_trajectories_and_conversations_stay_whole(tmp_path: Path) -> None:
    """What `b` was chosen over is a again, and messages come back as the comparison they were."""
    call = {"type": "function", "id": "1", "function": {"name": "look", "arguments": "{}"}}
    acted = [
        {"role": "assistant", "content": "", "tool_calls": [call]},
        {"role": "tool", "content": "found", "tool_call_id": "1", "name": "look"},
        {"role": "assistant", "content": "Done."},
    ]
    system = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Do it"}]
    rows = [{"prompt": system, "response_a": f"no {i}", "response_b": acted, "category": "tools"} for i in range(6)]
    data = write(tmp_path / "rows.jsonl", rows)
    job: Job = {"rows": data, "out": tmp_path / "out", "judges": TWO[:1], "to_people": 6}
    labelled(job)
    assert {row["chosen_is"] for row in read(job["out"] / "preferences.jsonl")} == {"a", "b"}
    original = {r.comparison.id: r for r in read_comparisons(data) if isinstance(r, ComparisonRow)}
    found = [row for row in read_comparisons(job["out"] / "for_people.jsonl") if isinstance(row, ComparisonRow)]
    assert len(found) == 6
    for row in found:
        assert row.comparison == original[row.comparison.id].comparison
        assert row.category == "tools"


def test_nothing_to_ask_is_an_empty_file(tmp_path: Path) -> None:
    outcomes = Outcomes(tmp_path)
    assert write_for_people(outcomes, tmp_path / "for_people.jsonl", 3) == 0
    assert (tmp_path / "for_people.jsonl").read_text() == ""


def test_by_gain_the_least_certain_come_first_and_every_prompt_before_the_second_of_any(tmp_path: Path) -> None:
    rows = [ROWS[i] | {"prompt": f"question {i // 4}"} for i in range(40)]
    job: Job = {"rows": write(tmp_path / "rows.jsonl", rows), "out": tmp_path / "out", "judges": TWO}
    labelled(job)
    outcomes = Outcomes(tmp_path / "out")
    assert write_for_people(outcomes, tmp_path / "ask.jsonl", 12, "gain") == 12
    asked = read(tmp_path / "ask.jsonl")
    error = {row["id"]: min(row["p_chosen"], 1 - row["p_chosen"]) for row in read(tmp_path / "out/preferences.jsonl")}
    chances = [error[row["id"]] for row in asked]
    assert chances[:10] == sorted(chances[:10], reverse=True)
    assert len({row["prompt"] for row in asked[:10]}) == 10
    assert all(row["selection"] == "disputed" for row in asked)
    assert chances[10:] == sorted(chances[10:], reverse=True)
    with pytest.raises(UsageError, match="to_people_by"):
        labelled(job | {"to_people_by": "luck"})
    with pytest.raises(UsageError, match="their number"):
        labelled(job | {"to_people_by": "gain"})
