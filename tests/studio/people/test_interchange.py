"""Rows and answers as Argilla and Label Studio have them."""

import json
from pathlib import Path
from typing import Any

import pytest

from preceptor.core.errors import UsageError
from preceptor.core.types import JsonObject
from preceptor.studio.database import Database
from preceptor.studio.people import interchange
from preceptor.studio.people.export import exported_rankings, exported_rows
from preceptor.studio.people.interchange import Imported, as_json, for_argilla, for_label_studio, label_studio_setup
from preceptor.studio.people.opinions import opinions
from preceptor.studio.people.queues import Guidelines, NewItem, Queue, create
from studio_people import rate
from studio_small import comparisons, make_queue, make_studio

RANKED: JsonObject = {"id": "k", "prompt": "q", "responses": ["x", "y", "z"]}


@pytest.fixture
def people(tmp_path: Path) -> Database:
    return make_studio(tmp_path / "studio").people


def take_in(people: Database, queue: Queue, records: list[Any]) -> Imported:
    return interchange.import_answers(people, queue, json.dumps(records))


def ratings(people: Database, queue: Queue) -> dict[str, tuple[list[str], list[str]]]:
    return {row["id"]: (row["raters"], row["ratings"]) for row in exported_rows(opinions(people, queue))}


def place_of(record: Any, text: str) -> str:
    """Where a response is shown: "1" or "2"."""
    return next(place for place in ("1", "2") if record.get(f"response_{place}") == text)


def test_argillas_records_have_fields_and_responses_by_question_and_user(people: Database) -> None:
    queue = make_queue(people, comparisons(12))
    rate(people, queue, "Ada", {"r0": "a", "r1": "tie", "r2": "skip"})
    records: list[Any] = for_argilla(opinions(people, queue))
    assert set(records[0]) == {"id", "fields", "metadata", "suggestions", "responses", "vectors"}
    assert records[0]["fields"]["prompt"] == "Question 0?"
    [said] = records[0]["responses"]["preference"]
    assert said["value"] == place_of(records[0]["fields"], "good 0")
    assert len(said["user_id"]) == 36
    assert [len(record["responses"]["preference"]) for record in records[:3]] == [1, 1, 0]
    places = [place_of(record["fields"], f"good {i}") for i, record in enumerate(records)]
    assert 2 <= places.count("1") <= 10  # the sides are shuffled


def test_answers_from_argilla_come_back_as_responses_of_the_row(people: Database) -> None:
    queue = make_queue(people, comparisons(8))
    records: list[Any] = for_argilla(opinions(people, queue))
    user = "c9f5a1d0-0000-4000-8000-000000000001"
    for number, record in enumerate(records[:6]):
        value = "tie" if number == 5 else place_of(record["fields"], f"good {number}")
        record["responses"] = {"preference": [{"value": value, "user_id": user}]}
    records[6]["responses"] = {"preference": [{"value": "no idea", "user_id": user}]}
    records.append({**records[0], "id": "elsewhere"})
    records.append({**records[1], "fields": {**records[1]["fields"], "response_1": "changed"}})
    assert take_in(people, queue, records) == Imported(answers=6, known=0, unmatched=2, unreadable=1)
    assert take_in(people, queue, records) == Imported(answers=0, known=6, unmatched=2, unreadable=1)
    found = ratings(people, queue)
    assert [found[f"r{i}"][1] for i in range(6)] == [["a"]] * 5 + [["tie"]]
    assert found["r0"][0] == [f"argilla {user}"]


def test_label_studios_tasks_have_data_and_annotations(people: Database) -> None:
    queue = make_queue(people, comparisons(3))
    rate(people, queue, "Ada", {"r0": "b", "r1": "cannot_tell"})
    tasks: list[Any] = for_label_studio(opinions(people, queue))
    [annotation] = tasks[0]["annotations"]
    assert annotation["result"] == [
        {
            "from_name": "preference",
            "to_name": "prompt",
            "type": "choices",
            "value": {"choices": [place_of(tasks[0]["data"], "bad 0")]},
        }
    ]
    assert tasks[1]["annotations"][0]["result"][0]["value"] == {"choices": ["cannot_tell"]}
    setup = label_studio_setup(queue)
    assert 'value="$response_1"' in setup
    assert 'alias="cannot_tell"' in setup
    # its own export, taken in again, changes nothing
    assert interchange.import_answers(people, queue, as_json(tasks)) == Imported(0, 2, 0, 0)


def test_answers_from_label_studio_whoever_it_names(people: Database) -> None:
    queue = make_queue(people, comparisons(4))
    tasks: list[Any] = for_label_studio(opinions(people, queue))
    left = place_of(tasks[0]["data"], "good 0") == "1"

    def annotated(kind: str, value: JsonObject, **who: Any) -> JsonObject:
        return {"result": [{"from_name": "p", "to_name": "t", "type": kind, "value": value}], **who}

    tasks[0]["annotations"] = [
        annotated("pairwise", {"selected": "left"}, completed_by={"id": 7, "email": "ben@example.org"}, lead_time=4.5),
        annotated("choices", {"choices": ["1"]}, created_username=" cy@example.org, 8"),
        annotated("choices", {"choices": ["1"]}, completed_by=9, was_cancelled=True),
    ]
    tasks[1]["annotations"] = [annotated("choices", {"choices": ["tie"]}, completed_by=9)]
    assert take_in(people, queue, tasks) == Imported(3, 0, 0, 0)
    side = "a" if left else "b"
    assert ratings(people, queue) == {
        "r0": (["label studio ben@example.org", "cy@example.org"], [side, side]),
        "r1": (["label studio 9"], ["tie"]),
    }


def test_rankings_go_out_and_come_back(people: Database) -> None:
    queue = create(people, "k", "rank", [NewItem(RANKED)], source="", guidelines=Guidelines())
    [record] = for_argilla(opinions(people, queue))
    [task] = for_label_studio(opinions(people, queue))
    fields: Any = record["fields"]
    best_first = [
        next(f"response_{n}" for n in (1, 2, 3) if fields[f"response_{n}"] == text) for text in ("z", "x", "y")
    ]
    by_rank = [{"value": name, "rank": min(n, 2)} for n, name in enumerate(best_first, start=1)]
    ranked = {"preference": [{"value": best_first, "user_id": "1"}, {"value": by_rank, "user_id": "2"}]}
    assert take_in(people, queue, [{**record, "responses": ranked}]) == Imported(2, 0, 0, 0)
    result = {"type": "ranker", "value": {"ranker": {"preference": best_first}}}
    assert take_in(people, queue, [{**task, "annotations": [{"result": [result], "completed_by": 3}]}]) == Imported(
        1, 0, 0, 0
    )
    [row] = exported_rankings(opinions(people, queue))
    assert row["rankings"] == [[2, 3, 1], [2, 2, 1], [2, 3, 1]]
    assert "Ranker" in label_studio_setup(queue)


def test_a_project_that_was_made_elsewhere_becomes_rows_with_its_answers(people: Database) -> None:
    tasks = [
        {
            "id": 10 + i,
            "data": {"instruction": f"q{i}", "text1": f"x {i}", "text2": f"y {i}", "cohort": "de"},
            "annotations": [{"completed_by": 1, "result": [{"type": "pairwise", "value": {"selected": side}}]}],
        }
        for i, side in enumerate(("left", "right"))
    ]
    text = json.dumps(tasks)
    rows = interchange.rows_in(text, "compare")
    assert rows[0] == {"id": "10", "prompt": "q0", "response_a": "x 0", "response_b": "y 0", "cohort": "de"}
    queue = make_queue(people, rows)
    assert interchange.import_answers(people, queue, text) == Imported(2, 0, 0, 0)
    assert {name: said for name, (_, said) in ratings(people, queue).items()} == {"10": ["a"], "11": ["b"]}
    record = {
        "id": "r",
        "fields": {"prompt": "q", "response_b": "2", "response_a": "1"},
        "responses": {"better": [{"value": "response_b", "user_id": "u"}]},
    }
    other = make_queue(people, interchange.rows_in(json.dumps([record]), "compare"), name="other")
    assert interchange.import_answers(people, other, json.dumps([record])) == Imported(1, 0, 0, 0)
    assert ratings(people, other)["r"][1] == ["b"]
    with pytest.raises(UsageError, match='record "r": expected a field "prompt"'):
        interchange.rows_in(json.dumps([{"id": "r", "fields": {"response_a": "1", "response_b": "2"}}]), "compare")


def test_a_trajectory_is_shown_as_text(people: Database) -> None:
    call = {"id": "1", "type": "function", "function": {"name": "look", "arguments": "{}"}}
    acted: Any = [{"role": "assistant", "content": "", "tool_calls": [call]}, {"role": "tool", "content": "42"}]
    queue = make_queue(people, [{"id": "t", "prompt": "q", "response_a": acted, "response_b": "no"}])
    [record] = for_argilla(opinions(people, queue))
    assert any("[calls look {}]" in str(text) and "tool: 42" in str(text) for text in dict(record["fields"]).values())  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "text", ["{", '{"fields": {}}', "[1]", '[{"fields": {}}]', '[{"data": {"id": 1}, "annotations": [{}]}]']
)
def test_a_file_of_neither_tool_is_refused(people: Database, text: str) -> None:
    queue = make_queue(people, comparisons(1))
    with pytest.raises(UsageError, match="Argilla"):
        interchange.import_answers(people, queue, text)
    assert ratings(people, queue) == {}
