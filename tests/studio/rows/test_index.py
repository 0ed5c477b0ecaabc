"""The index finds rows by what they hold, and follows files that grow, change or vanish."""

import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from measured_episodes import episode
from preceptor.core.types import Message
from preceptor.evaluation.checkpoints.snapshot import MeasuredResponse, Snapshot
from preceptor.store.best_of_n_rows import BestOfNRow, BestResponse
from preceptor.store.preference_row import FailureRow, PreferenceRow, VerdictRow
from preceptor.studio.folders import Library
from preceptor.studio.rows import browse
from preceptor.studio.rows.filters import Filter
from preceptor.studio.rows.index import RowIndex

HOSTILE = "a/b?c=<d>&\"e'☃ #%00../"


def said(text: str, role: str = "assistant") -> tuple[Message, ...]:
    return (Message.model_validate({"role": role, "content": text}),)


def row(number: int, ab: float, ba: float, **more: Any) -> PreferenceRow:
    """A row whose response a, "good N", has `ab` and `ba` as its probabilities in both orders; b is "worse N"."""
    p_a = (ab + ba) / 2
    a, b = said(f"good {number}"), said(f"worse {number}")
    columns: dict[str, Any] = {
        "row": number, "id": f"r{number}", "prompt_id": f"p{number}", "cohort": "all", "prompt": said("Why?", "user"),
        "chosen": a if p_a >= 0.5 else b, "rejected": b if p_a >= 0.5 else a, "chosen_is": "a" if p_a >= 0.5 else "b",
        "p_chosen": max(p_a, 1 - p_a), "disagreement": abs(ab - ba) / 2, "judge": "one#1", "constitution": "helpful 1",
        "verdicts": [VerdictRow(order="ab", p_a=ab), VerdictRow(order="ba", p_a=ba)],
    }  # fmt: skip
    return PreferenceRow.model_validate(columns | more)


def write(folder: Path, rows: Sequence[PreferenceRow | FailureRow], name: str = "preferences.jsonl") -> Path:
    """A folder of labels with these rows."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "label.json").write_text("{}")
    text = "".join(json.dumps(one.wire(), ensure_ascii=False) + "\n" for one in rows)
    (folder / name).write_text(text, encoding="utf-8")
    return folder / name


ROWS = (
    row(0, 0.9, 0.7, cohort="cats", prompt=said("Do whales sing at night?", "user"), human_p_chosen=1.0),
    row(1, 0.9, 0.2, human_p_chosen=0.0, rationale="Honest about doubts."),  # the first shown wins twice
    row(2, 0.1, 0.5, cohort="cats", judge="two#1", human_p_chosen=0.5),
    row(3, 0.5, 0.5, id=HOSTILE, chosen=(*said("one"), *said("two"))),
)
"""p_a 0.8, 0.55, 0.3 and 0.5; disagreement 0.1, 0.35, 0.2 and 0."""


@pytest.fixture
def index(tmp_path: Path) -> RowIndex:
    write(tmp_path / "work" / "labels", ROWS)
    failures = [
        FailureRow(4, "data:5", "r4", "no_answer", "said maybe"),
        FailureRow(5, "data:6", None, "malformed", ""),
    ]
    write(tmp_path / "work" / "labels", failures, "failures.jsonl")
    made = RowIndex(tmp_path / "index.sqlite", Library([tmp_path / "work"]))
    made.update()
    return made


def ids(index: RowIndex, **query: str) -> list[str]:
    """The rows that a filter leaves, which are as many as it counts."""
    with index.reading() as connection:
        page = browse.page(connection, Filter.read(query), 1)
    assert page.total == len(page.rows)
    return [one.row_id for one in page.rows]


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ({}, ["r0", "r1", "r2", HOSTILE]),
        ({"what": "trajectories"}, [HOSTILE]),
        ({"what": "failures"}, ["r4", "data:6"]),
        ({"what": "all", "reason": "no_answer"}, ["r4"]),
        ({"cohort": "cats"}, ["r0", "r2"]),
        ({"judge": "two#1, helpful 1, detailed"}, ["r2"]),
        ({"folder": "work/labels", "cohort": "all"}, ["r1", HOSTILE]),
        ({"folder": "elsewhere"}, []),
        ({"flip": "yes"}, ["r1"]),
        ({"flip": "no"}, ["r0", "r2", HOSTILE]),
        ({"people": "agree"}, ["r0"]),
        ({"people": "differ"}, ["r1"]),
        ({"people": "undecided"}, ["r2"]),
        ({"people": "asked"}, ["r0", "r1", "r2"]),
        ({"people": "not asked"}, [HOSTILE]),
        ({"p_from": "0.55", "p_to": "0.69"}, ["r1"]),
        ({"disagreement_from": "0.25"}, ["r1"]),
        ({"length_to": "13"}, ["r0", "r1", "r2"]),  # "good 0" and "worse 0"
        ({"difference_from": "1"}, ["r2"]),
        ({"words": "WHALES sing"}, ["r0"]),
        ({"words": '"sing whales"'}, []),
        ({"words": "worse"}, ["r0", "r1", "r2", HOSTILE]),
        ({"words": "good 2"}, ["r2"]),
        ({"words": "doubt*"}, ["r1"]),
        ({"words": "w* g*"}, ["r0", "r1", "r2"]),
        ({"words": 'whale* "good 0"'}, ["r0"]),
        ({"words": "good wha* goo*"}, ["r0"]),
        ({"words": "whalesong*"}, []),
        ({"what": "failures", "words": "maybe"}, ["r4"]),
        ({"words": "--"}, []),
        ({"sort": "-disagreement"}, ["r1", "r2", "r0", HOSTILE]),
        ({"sort": "p"}, [HOSTILE, "r1", "r2", "r0"]),
        ({"sort": "people"}, ["r1", "r0", "r2", HOSTILE]),  # without an opinion: last
        ({"sort": "-people"}, ["r2", "r0", "r1", HOSTILE]),
        ({"sort": "-id"}, ["r2", "r1", "r0", HOSTILE]),
        ({"sort": "-cohort"}, ["r2", "r0", HOSTILE, "r1"]),
    ],
)
def test_rows_are_found_and_sorted_by_what_they_hold(
    index: RowIndex, query: dict[str, str], expected: list[str]
) -> None:
    assert ids(index, **query) == expected


def test_a_row_has_neighbours_in_the_order_of_the_filter(index: RowIndex) -> None:
    chosen = Filter(sort="-disagreement")
    with index.reading() as connection:
        listed = browse.page(connection, chosen, 1).rows
        for number, one in enumerate(listed):
            before, after = browse.neighbours(connection, chosen, one)
            assert before == (listed[number - 1] if number else None)
            assert after == (listed[number + 1] if number + 1 < len(listed) else None)
        outside = browse.neighbours(connection, Filter(cohort="cats"), listed[0])
        assert [one and one.row_id for one in outside] == ["r0", "r2"]
        assert [one.row_id for batch in browse.batches(connection, chosen) for one in batch] == [
            one.row_id for one in listed
        ]


def test_a_growing_file_is_read_on_and_its_last_line_waits_until_it_is_whole(index: RowIndex, tmp_path: Path) -> None:
    file = tmp_path / "work" / "labels" / "preferences.jsonl"
    line = json.dumps(row(6, 0.9, 0.9).wire())
    with file.open("a") as stream:
        stream.write("no JSON\n[1]\n" + '{"id": "\\ud800"}\n' + line[:40])
    index.update()
    assert ids(index)[-1] == HOSTILE
    assert index.progress().skipped == 3
    with file.open("a") as stream:
        stream.write(line[40:] + "\n")
    index.update()
    assert ids(index)[-1] == "r6"
    progress = index.progress()
    assert (progress.indexed, progress.total, progress.skipped, progress.running) == (10, 10, 3, False)


def test_another_file_in_its_place_is_read_anew_and_rows_of_a_file_that_is_gone_are_gone(
    index: RowIndex, tmp_path: Path
) -> None:
    labels = tmp_path / "work" / "labels"
    write(labels, [row(7, 0.9, 0.9)])
    index.update()
    assert ids(index) == ["r7"]
    assert ids(index, words="whales") == []
    same_size = (labels / "preferences.jsonl").read_text().replace("r7", "r8")
    (labels / "preferences.jsonl").write_text(same_size)
    index.update()
    assert ids(index) == ["r8"]
    (labels / "preferences.jsonl").unlink()
    index.update()
    assert ids(index, what="all") == ["r4", "data:6"]


def test_the_middle_of_a_file_that_changed_before_it_grew_is_not_trusted(index: RowIndex, tmp_path: Path) -> None:
    file = tmp_path / "work" / "labels" / "preferences.jsonl"
    with file.open("r+b") as stream:  # in place, as resumed work cuts a file and writes on
        text = stream.read().replace(b"good 1", b"fair 1")
        stream.seek(0)
        stream.write(text + json.dumps(row(9, 0.6, 0.6).wire()).encode() + b"\n")
    index.update()
    assert ids(index, words="fair") == ["r1"]
    assert ids(index)[-1] == "r9"


def test_a_file_outside_is_not_reached_by_a_link(index: RowIndex, tmp_path: Path) -> None:
    write(tmp_path / "secret", [row(8, 0.9, 0.9)])
    other = tmp_path / "work" / "other"
    other.mkdir()
    (other / "label.json").write_text("{}")
    (other / "preferences.jsonl").symlink_to(tmp_path / "secret" / "preferences.jsonl")
    (other / "judged").symlink_to(tmp_path / "secret", target_is_directory=True)
    fresh = RowIndex(tmp_path / "another.sqlite", Library([tmp_path / "work"]))
    fresh.update()
    assert "r8" not in ids(fresh)


@pytest.mark.parametrize("damage", ["not a database", "older schema"])
def test_an_index_that_cannot_be_used_is_built_anew(index: RowIndex, tmp_path: Path, damage: str) -> None:
    import sqlite3

    other = tmp_path / "other.sqlite"
    if damage == "older schema":
        with sqlite3.connect(other) as connection:
            connection.execute("CREATE TABLE sources (id INTEGER)")
            connection.execute("PRAGMA user_version = 1")
    else:
        other.write_bytes(b"no database" * 1000)
    made = RowIndex(other, Library([tmp_path / "work"]))
    made.update()
    assert ids(made) == ids(index)


def test_an_index_that_is_deleted_while_the_studio_runs_is_built_anew(index: RowIndex, tmp_path: Path) -> None:
    for file in tmp_path.glob("index.sqlite*"):
        file.unlink()
    assert ids(index) == []
    index.update()
    assert ids(index)[0] == "r0"


def test_the_row_itself_is_read_from_its_file(index: RowIndex, tmp_path: Path) -> None:
    library = Library([tmp_path / "work"])
    with index.reading() as connection:
        found = browse.page(connection, Filter(what="all"), 1).rows
        [hostile] = browse.find(connection, "work/labels", HOSTILE)
    assert browse.content(library, hostile)[0] == ROWS[3]
    contents = browse.contents(library, found)
    assert [contents[one.id] for one in found[:4]] == list(ROWS)
    assert hostile.address == {"of": "work/labels", "id": HOSTILE}
    assert found[5].address == {"of": "work/labels", "id": "data:6", "file": "failures.jsonl", "line": 1}


def test_scores_of_runs_and_verdicts_of_several_judges_are_found(index: RowIndex, tmp_path: Path) -> None:
    run, audit = tmp_path / "work" / "run", tmp_path / "work" / "audit"
    (run / "evaluations").mkdir(parents=True)
    (run / "inputs.json").write_text("{}")
    response = MeasuredResponse(
        prompt_id="p1", cohort="all", prompt="Why?", text="Because.", tokens=2, finished=True, kl=None,
        judge_score=0.25, choice_mass=0.9, heldout_score=None,
    )  # fmt: skip
    for name, score in (("step-000010", 0.25), ("graded-000010", 0.75), ("step-000020", 0.5)):
        snapshot = Snapshot(step=10, responses=(response.model_copy(update={"judge_score": score}),), references=())
        (run / "evaluations" / f"{name}.json").write_text(snapshot.model_dump_json())
    audit.mkdir()
    (audit / "audit.json").write_text("{}")
    lines = [
        json.dumps(one.wire() | {"judge": judge, "constitution": "helpful", "variant": "cot"}) + "\n"
        for judge in ("x", "y")
        for one in (ROWS[0], FailureRow(1, "data:2", "r1", "refused", "no"))
    ]
    (audit / "judgements.jsonl").write_text("".join(lines))
    fresh = RowIndex(tmp_path / "another.sqlite", Library([tmp_path / "work"]))
    fresh.update()
    assert ids(fresh, what="scores", sort="-score") == ["p1", "p1"]
    assert ids(fresh, what="scores", score_from="0.6") == ["p1"]
    assert ids(fresh, judge="x, helpful, cot", what="all") == ["r0", "r1"]
    with fresh.reading() as connection:
        assert [one.line for one in browse.find(connection, "work/audit", "r0")] == [0, 2]
        [best, _] = browse.page(connection, Filter(what="scores", sort="-score"), 1).rows
    read = browse.contents(Library([tmp_path / "work"]), [best])[best.id]
    assert isinstance(read, MeasuredResponse)
    assert (read.judge_score, best.file) == (0.75, "evaluations/graded-000010.json")


def test_thoughts_and_the_turns_of_agents_are_among_the_words(tmp_path: Path) -> None:
    run = tmp_path / "work" / "run"
    (run / "evaluations").mkdir(parents=True)
    (run / "inputs.json").write_text("{}")
    (run / "evaluations" / "step-000010.json").write_text(
        Snapshot(step=10, responses=(episode(3, True),), references=()).model_dump_json()
    )
    write(tmp_path / "work" / "labels", [row(0, 0.9, 0.7, chosen_thought="Whales first."), row(1, 0.9, 0.7)])
    made = RowIndex(tmp_path / "index.sqlite", Library([tmp_path / "work"]))
    made.update()
    assert ids(made, what="scores", words="calculate expression") == ["3"]
    assert ids(made, what="scores", words="result") == ["3"]
    assert ids(made, words="whales") == ["r0"]
    with made.reading() as connection:
        [found] = browse.page(connection, Filter(what="scores"), 1).rows
    assert found.steps == 3


def test_rewards_of_best_of_n_are_found_while_the_run_goes_on(tmp_path: Path) -> None:
    run = tmp_path / "work" / "run"
    run.mkdir(parents=True)
    (run / "inputs.json").write_text("{}")
    best, prompt = {"text": "Because.", "finished": True}, {"id": "p7", "cohort": "cats", "text": "Why whales?"}
    lines = (
        {"best": [best, None], "rewards": [[0.5, 0.75, None], [None, None, None]]},  # as version 0.4.0 wrote it
        {"best": [best], "rewards": [[-1.0, 2.5]], "prompts": [prompt]},
    )
    file, library = run / "best_of_n.jsonl", Library([tmp_path / "work"])
    file.write_text(json.dumps(lines[0]) + "\n" + json.dumps(lines[1])[:30])  # the second is still being written
    made = RowIndex(tmp_path / "index.sqlite", library)
    made.update()
    assert ids(made, what="scores") == ["prompt 1", "prompt 2"]
    file.write_text("".join(json.dumps(line) + "\n" for line in lines))
    made.update()
    assert ids(made, what="scores", sort="-score") == ["p7", "prompt 1", "prompt 2"]  # 2.5, 0.75 and no reward
    assert ids(made, what="scores", words="whales", cohort="cats") == ["p7"]
    assert made.progress().skipped == 0
    with made.reading() as connection:
        [found] = browse.page(connection, Filter(what="scores", score_from="1"), 1).rows
    read = browse.content(library, found)[0]
    assert isinstance(read, BestOfNRow)
    assert (read.rewards, read.best, found.line, found.measurement) == (
        (-1.0, 2.5), BestResponse(text="Because.", finished=True), 2, "best_of_n",
    )  # fmt: skip
    assert browse.wire(read)["rewards"] == [-1.0, 2.5]
    file.write_text('{"best": [null], "rewards": []}\n')
    made.update()
    assert (ids(made, what="scores"), made.progress().skipped) == ([], 1)


def test_a_measurement_that_was_only_touched_stays_found(tmp_path: Path) -> None:
    sweep = tmp_path / "work" / "sweep"
    (sweep / "checkpoints").mkdir(parents=True)
    (sweep / "begun.json").write_text("{}")
    response = MeasuredResponse(
        prompt_id="p1", cohort="all", prompt="Why?", text="Because.", tokens=2, finished=True, kl=None,
        judge_score=0.25, choice_mass=0.9, heldout_score=None,
    )  # fmt: skip
    file = sweep / "checkpoints" / "step-000004.json"
    file.write_text(Snapshot(step=4, responses=(response,), references=()).model_dump_json())
    made = RowIndex(tmp_path / "index.sqlite", Library([tmp_path / "work"]))
    made.update()
    os.utime(file, ns=(1, 1))
    made.update()
    assert ids(made, what="scores") == ["p1"]
    assert made.progress().problem is None


def test_pages_go_on_where_the_last_one_ended(tmp_path: Path) -> None:
    write(tmp_path / "work" / "labels", [row(i, 0.9, 0.7) for i in range(120)])
    made = RowIndex(tmp_path / "index.sqlite", Library([tmp_path / "work"]))
    made.update()
    for chosen in (Filter(), Filter(words="good"), Filter(words="wors*")):
        with made.reading() as connection:
            pages = [browse.page(connection, chosen, number) for number in (1, 2, 3, 4)]
        lines = [[one.line for one in page.rows] for page in pages]
        assert lines == [list(range(50)), list(range(50, 100)), list(range(100, 120)), list(range(100, 120))]
        assert [(page.number, page.total, page.pages) for page in pages[2:]] == [(3, 120, 3), (3, 120, 3)]
    write(tmp_path / "work" / "labels", [])
    made.update()
    assert ids(made) == []
