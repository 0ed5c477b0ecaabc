"""People's rows as other commands read them."""

import json
from pathlib import Path
from typing import Any

import pytest

from preceptor.core.errors import UsageError
from preceptor.core.progress import Silence
from preceptor.core.types import JsonObject
from preceptor.store.comparisons import ComparisonRow, read_comparisons
from preceptor.store.training_pairs import read_training_pairs
from preceptor.studio.database import Database
from preceptor.studio.people.export import (
    exported_rankings,
    exported_rows,
    file_name,
    write_beside,
    write_exports,
)
from preceptor.studio.people.live import LiveFiles
from preceptor.studio.people.opinions import opinions
from preceptor.studio.people.queues import Guidelines, Kind, NewItem, Queue, create
from preceptor.studio.people.ratings import Remarks
from preceptor.tasks.agreement import agreement
from preceptor.tasks.audit import audit
from rows import read, write
from studio_people import rate
from studio_small import comparisons, make_queue, make_studio


@pytest.fixture
def people(tmp_path: Path) -> Database:
    return make_studio(tmp_path / "studio").people


def queue_of(
    people: Database, rows: list[JsonObject], kind: Kind = "compare", name: str = "q", **settings: Any
) -> Queue:
    return create(people, name, kind, list(map(NewItem, rows)), source="a test", guidelines=Guidelines(), **settings)


def test_opinions_become_ratings_and_cannot_tell_is_none(people: Database) -> None:
    queue = queue_of(people, comparisons(4), raters_per_row=2)
    rate(
        people,
        queue,
        "Ada",
        {"r0": "a", "r1": "b", "r2": "cannot_tell", "r3": "skip"},
        Remarks(reason="why", flagged=True),
    )
    rate(people, queue, "Ben", {"r0": "tie", "r1": "cannot_tell", "r2": "cannot_tell"})
    rows = exported_rows(opinions(people, queue))
    assert [(row["id"], row["ratings"], row["raters"]) for row in rows] == [
        ("r0", ["a", "tie"], ["Ada", "Ben"]),
        ("r1", ["b"], ["Ada"]),
    ]
    assert [(row["cannot_tell"], row["flags"], len(row["reasons"])) for row in rows] == [(0, 1, 1), (1, 1, 1)]
    assert rows[0] | comparisons(1)[0] == rows[0]


def test_repeated_and_control_rows_are_not_people_s_labels(people: Database) -> None:
    rows = comparisons(20)
    items = [*(NewItem(row) for row in rows), NewItem({**rows[0], "id": "known"}, {"choice": "a"})]
    queue = create(people, "q", "compare", items, source="", guidelines=Guidelines(), repeat_share=0.5)
    answers = {f"r{i}": "a" for i in range(20)} | {f"r{i}*": "b" for i in range(20)} | {"known": "b"}
    said = rate(people, queue, "Ada", answers)
    assert "known" in said
    assert any(name.endswith("*") for name in said)
    exported = exported_rows(opinions(people, queue))
    assert [row["id"] for row in exported] == [f"r{i}" for i in range(20)]
    assert all(row["ratings"] == ["a"] for row in exported)


def test_an_undone_rating_is_gone(people: Database) -> None:
    queue = queue_of(people, comparisons(1))
    rate(people, queue, "Ada", {"r0": "a"})
    people.write("UPDATE ratings SET undone_at = created_at")
    assert exported_rows(opinions(people, queue)) == []


def test_an_unfinished_plan_has_the_probability_of_what_was_asked(people: Database) -> None:
    """4 planned rows with 0.2 and 0.4; people were asked about 3 of them: 0.15 and 0.3. Then about all."""
    planned = [
        row | {"selection": "planned", "selection_probability": 0.2 if i % 2 else 0.4}
        for i, row in enumerate(comparisons(4))
    ]
    queue = queue_of(people, planned)
    rate(people, queue, "Ada", {"r0": "a", "r1": "b"})  # and the third one is on her screen
    chances = [row["selection_probability"] for row in exported_rows(opinions(people, queue))]
    assert chances == [pytest.approx(0.3), pytest.approx(0.15)]
    rate(people, queue, "Ada", {"r2": "skip", "r3": "a"})
    rows = exported_rows(opinions(people, queue))
    assert [(row["id"], row["selection_probability"]) for row in rows] == [("r0", 0.4), ("r1", 0.2), ("r3", 0.2)]


def test_rankings_become_pairs_under_the_ids_of_their_responses(people: Database, tmp_path: Path) -> None:
    row: JsonObject = {
        "id": "k",
        "prompt": "q",
        "responses": ["x", "y", "z"],
        "policies": ["p", "q", "r"],
        "cohort": "de",
    }
    queue = queue_of(people, [row], "rank", raters_per_row=2)
    rate(people, queue, "Ada", {"k": (1, 2, 2)})
    rate(people, queue, "Ben", {"k": (3, 1, 2)})
    said = opinions(people, queue)
    pairs = exported_rows(said)
    assert [(pair["id"], pair["ratings"], pair["policy_a"]) for pair in pairs] == [
        ("k-0-1", ["a", "b"], "p"),
        ("k-0-2", ["a", "b"], "p"),
        ("k-1-2", ["tie", "a"], "q"),
    ]
    assert all(pair["cohort"] == "de" and "responses" not in pair for pair in pairs)
    read_back = [r for r in read_comparisons(write(tmp_path / "k.jsonl", [row])) if isinstance(r, ComparisonRow)]
    exported = [r for r in read_comparisons(write(tmp_path / "p.jsonl", pairs)) if isinstance(r, ComparisonRow)]
    assert [r.comparison for r in exported] == [r.comparison for r in read_back]
    [ranked] = exported_rankings(said)
    assert (ranked["rankings"], ranked["raters"]) == ([[1, 2, 2], [3, 1, 2]], ["Ada", "Ben"])
    assert agreement([ranked]).agreement.kind == "rankings"


def test_the_rows_are_written_beside_their_source_but_never_over_somebody_elses(
    people: Database, tmp_path: Path
) -> None:
    queue = queue_of(people, comparisons(2))
    rate(people, queue, "Ada", {"r0": "a"})
    name = file_name(people, queue)
    [path] = write_beside(opinions(people, queue), tmp_path, name)
    assert path.name == "people-q.jsonl"
    rate(people, queue, "Ada", {"r1": "b"})
    write_beside(opinions(people, queue), tmp_path, name)
    assert [row["ratings"] for row in read(path)] == [["a"], ["b"]]
    write(path, [{"id": "mine", "label": "a"}])
    with pytest.raises(UsageError, match="the studio did not write this file"):
        write_beside(opinions(people, queue), tmp_path, name)
    assert read(path) == [{"id": "mine", "label": "a"}]


def test_the_rows_audit_judges_and_train_reward_models(people: Database, tmp_path: Path) -> None:
    queue = queue_of(people, comparisons(4), raters_per_row=2)
    rate(people, queue, "Ada", {"r0": "a", "r1": "b", "r2": "a", "r3": "cannot_tell"})
    rate(people, queue, "Ben", {"r0": "a", "r1": "a", "r2": "tie", "r3": "skip"})
    [path] = write_exports(opinions(people, queue), tmp_path, "x")
    pairs, left_out = read_training_pairs(path, labels="human")
    assert [(pair.p_chosen, pair.source) for pair in pairs] == [(1.0, "human"), (0.5, "human"), (0.75, "human")]
    assert left_out == []
    result = audit(path, judges="scripted:first", out=tmp_path / "audit", progress=Silence())
    assert (result.judges[0].rows, result.judges[0].human_ties) == (3, 2)
    assert result.judges[0].human_agreement == pytest.approx(1 / 3)


def test_names_of_queues_become_names_of_files(people: Database) -> None:
    names = ["Round 1: Ärzte/../x", "round 1 ärzte x", "...", "Round 2"]
    queues = [make_queue(people, comparisons(1), name=name) for name in names]
    files = [file_name(people, queue) for queue in queues]
    assert files == ["round-1-ärzte-x", f"round-1-ärzte-x--{queues[1].id}", "queue", "round-2"]


def test_live_files_follow_the_ratings(people: Database, tmp_path: Path) -> None:
    queue = queue_of(people, comparisons(3))
    live = LiveFiles(people, tmp_path / "people")
    live.write()
    assert not (tmp_path / "people").exists()
    rate(people, queue, "Ada", {"r0": "a"})
    live.write()
    path = tmp_path / "people" / "q.jsonl"
    assert [row["id"] for row in read(path)] == ["r0"]
    before = path.stat().st_mtime_ns
    live.write()
    assert path.stat().st_mtime_ns == before
    people.write("UPDATE ratings SET undone_at = created_at")
    live.write()
    assert read(path) == []
    live.start()
    rate(people, queue, "Ada", {"r0": "b", "r1": "b"})
    live.stop()
    assert [row["ratings"] for row in read(path)] == [["b"], ["b"]]
    again = LiveFiles(people, tmp_path / "again")  # after a restart, all files are written anew
    again.write()
    assert (tmp_path / "again" / "q.jsonl").read_bytes() == path.read_bytes()


def test_a_file_that_cannot_be_written_is_reported_and_tried_again(people: Database, tmp_path: Path) -> None:
    queue = queue_of(people, comparisons(1), "compare")
    rate(people, queue, "Ada", {"r0": "a"})
    (tmp_path / "people").write_text("in the way")
    live = LiveFiles(people, tmp_path / "people")
    live.write()
    assert live.problem is not None
    assert "cannot be written" in live.problem
    (tmp_path / "people").unlink()
    live.write()
    assert live.problem is None
    assert json.loads((tmp_path / "people" / "q.jsonl").read_text())["ratings"] == ["a"]


def test_files_are_replaced_as_a_whole(people: Database, tmp_path: Path) -> None:
    queue = queue_of(people, comparisons(2))
    rate(people, queue, "Ada", {"r0": "a", "r1": "a"})
    write_exports(opinions(people, queue), tmp_path, "x")
    assert sorted(path.name for path in tmp_path.glob("x*")) == ["x.jsonl"]
