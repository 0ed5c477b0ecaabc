"""The owner's pages for queues: how one is made, how it goes, and what leaves it."""

import json
import re
from pathlib import Path
from typing import Any

import pytest

from preceptor.core.progress import Silence
from preceptor.core.types import JsonObject
from preceptor.store.files import write_rows
from preceptor.studio.app import application
from preceptor.studio.context import Studio
from preceptor.studio.people.queues import Queue, queues
from preceptor.tasks.estimate import estimate
from preceptor.tasks.evaluate.evaluate import evaluate
from preceptor.tasks.label import label
from rows import read
from studio_people import rate
from studio_small import OWNER_TOKEN, Person, comparisons, make_queue, make_studio, rater


@pytest.fixture(scope="module")
def work(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with labels, a plan and an evaluation."""
    folder = tmp_path_factory.mktemp("given") / "work"
    rows = [row | {"cohort": "de" if i % 3 else "en"} for i, row in enumerate(comparisons(30))]
    label(rows, judges="scripted:random", out=folder / "labels", progress=Silence())
    estimate(folder / "labels", plan=6, out=folder / "plan")
    policies = {
        name: [{"prompt": f"q{i}", "response": f"{name} {i}"} for i in range(6)] for name in ("old", "new", "third")
    }
    evaluate(
        policies,
        prompts=[{"prompt": f"q{i}"} for i in range(6)],
        judge="scripted:random",
        out=folder / "evaluation",
        progress=Silence(),
    )
    return folder


@pytest.fixture
def studio(tmp_path: Path, work: Path) -> Studio:
    return make_studio(tmp_path / "studio", work)


@pytest.fixture
def owner(studio: Studio) -> Person:
    return Person(application(studio), OWNER_TOKEN)


def made(studio: Studio) -> Queue:
    return queues(studio.people)[0]


def rows_of(studio: Studio, queue: Queue) -> list[dict[str, Any]]:
    records = studio.people.all("SELECT row, known FROM items WHERE queue = ? ORDER BY number", queue.id)
    return [json.loads(record["row"]) for record in records if record["known"] is None]


FORM = {"name": "Round 1", "raters_per_row": "2", "repeat_percent": "10", "seed": "3"}


def test_a_queue_of_planned_rows(studio: Studio, owner: Person, work: Path) -> None:
    assert "work/plan" in owner.see("/queues/new")
    constitution = re.search(r'<option value="(\w+)">helpful', owner.see("/queues/new"))
    assert constitution is not None
    page = owner.send("/queues", source="written", folder="work/plan", constitution=constitution[1], **FORM)
    queue = made(studio)
    assert (queue.name, queue.kind, queue.raters_per_row, queue.repeat_share) == ("Round 1", "compare", 2, 0.1)
    assert queue.folder == str((work / "plan").resolve())
    assert queue.guidelines.title == "helpful"
    assert {row["selection"] for row in rows_of(studio, queue)} == {"planned"}
    assert "6 rows were planned" in page
    assert "Round 1" in owner.see("/queues")


@pytest.mark.parametrize(
    ("fields", "selection", "count"),
    [
        ({"source": "sample", "folder": "work/labels", "count": "8"}, "random", 8),
        ({"source": "cohort", "folder": "work/labels", "count": "50", "cohort": "en"}, "cohort", 10),
        ({"source": "policies", "folder": "work/evaluation", "count": "4", "one": "old", "other": "new"}, None, 4),
    ],
)
def test_a_queue_of_sampled_rows(
    studio: Studio, owner: Person, fields: dict[str, str], selection: str | None, count: int
) -> None:
    chosen = {name: value for name, value in fields.items() if name in ("source", "folder")}
    assert fields["folder"] in owner.client.get("/queues/new", params=chosen).text
    owner.send("/queues", **fields, **FORM)
    rows = rows_of(studio, made(studio))
    assert (len(rows), {row.get("selection") for row in rows}) == (count, {selection})


def test_a_queue_of_ranked_policies(studio: Studio, owner: Person) -> None:
    sent = owner.client.post(
        "/queues",
        data={
            "csrf": owner.csrf(),
            "source": "ranked",
            "folder": "work/evaluation",
            "count": "3",
            "policies": ["old", "third"],
            **FORM,
        },
    )
    assert sent.status_code == 200
    assert made(studio).kind == "rank"
    assert [row["policies"] for row in rows_of(studio, made(studio))] == [["old", "third"]] * 3


def test_a_queue_of_an_uploaded_file_with_known_answers_and_an_own_constitution(
    studio: Studio, owner: Person, tmp_path: Path
) -> None:
    rows, known = tmp_path / "r.jsonl", tmp_path / "k.jsonl"
    write_rows(rows, comparisons(3))
    write_rows(known, [comparisons(1)[0] | {"id": "k", "label": "b"}])
    own = 'name = "mine"\nversion = "1"\nsummary = "Short is better."\nprinciples = ["Prefer the shorter one."]\n'
    files = {
        "rows": ("rows.jsonl", rows.read_bytes()),
        "known": ("known.jsonl", known.read_bytes()),
        "own": ("mine.toml", own.encode()),
    }
    fields = {"csrf": owner.csrf(), "source": "file", "kind": "compare", **FORM}
    page = owner.client.post("/queues", data=fields, files=files)
    assert page.status_code == 200
    queue = made(studio)
    assert queue.guidelines.principles == ("Prefer the shorter one.",)
    assert len(rows_of(studio, queue)) == 3
    assert "1 rows have known answers" in page.text
    assert "do not say how they were chosen" in page.text
    owner.send(f"/queues/{queue.id}/known", prompt="2 + 2?", response_a="4", response_b="5", known="a")
    assert "2 rows have known answers" in owner.see(f"/queues/{queue.id}")


def test_a_queue_of_another_tools_export_has_its_answers(studio: Studio, owner: Person) -> None:
    annotation = {"completed_by": 3, "result": [{"type": "choices", "value": {"choices": ["tie"]}}]}
    tasks = [{"id": 1, "data": {"prompt": "q", "response_a": "x", "response_b": "y"}, "annotations": [annotation]}]
    fields = {"csrf": owner.csrf(), "source": "file", "kind": "compare", **FORM}
    page = owner.client.post("/queues", data=fields, files={"rows": ("tasks.json", json.dumps(tasks).encode())})
    assert page.status_code == 200
    assert "label studio 3" in page.text
    assert len(rows_of(studio, made(studio))) == 1


@pytest.mark.parametrize(
    ("fields", "files", "words"),
    [
        ({"source": "written", "folder": "/etc"}, {}, "choose a folder"),
        ({"source": "sample", "folder": "work/labels", "count": "0"}, {}, "1 or more"),
        ({"source": "sample", "folder": "work/labels", "seed": "x"}, {}, "whole number"),
        ({"source": "sample", "folder": "work/labels", "seed": "-1"}, {}, "seed -1"),
        ({"source": "file"}, {}, "choose a file"),
        ({"source": "file"}, {"rows": ("../../x.exe", b"1")}, "ends in .jsonl"),
        ({"source": "file"}, {"rows": ("x.jsonl", b'{"prompt": "q"}\n')}, "row 1 of x.jsonl"),
        ({"source": "file"}, {"rows": ("x.json", b"{}")}, "Argilla"),
        ({"source": "file"}, {"rows": ("x.json", b"\xff")}, "UTF-8"),
        ({"source": "written", "folder": "work/plan", "name": " "}, {}, "1 to 80 characters"),
        ({"source": "policies", "folder": "work/evaluation", "one": "old", "other": "nobody"}, {}, "no policy"),
    ],
)
def test_a_mistake_is_said_above_the_form_which_keeps_what_was_typed(
    studio: Studio, owner: Person, fields: dict[str, str], files: dict[str, tuple[str, bytes]], words: str
) -> None:
    given = {"csrf": owner.csrf(), **FORM, "raters_per_row": "7", **fields}
    page = owner.client.post("/queues", data=given, files=files or None)
    assert page.status_code == 400
    assert words in page.text
    assert 'name="raters_per_row" min="1" max="100" value="7"' in page.text or "Go on" in page.text
    assert queues(studio.people) == []


def test_agreement_on_the_page_follows_the_ratings(studio: Studio, owner: Person) -> None:
    queue = make_queue(studio.people, comparisons(4), raters_per_row=2)
    page = owner.see(f"/queues/{queue.id}")
    assert "not measured: no row has two opinions" in page
    mark = re.search(r'name="mark" value="([^"]+)"', page)
    assert mark is not None
    assert owner.client.get(f"/queues/{queue.id}/live", params={"mark": mark[1]}).status_code == 204
    rate(studio.people, queue, "Ada", {f"r{i}": "a" for i in range(4)})
    rate(studio.people, queue, "Ben", {f"r{i}": "b" if i == 2 else "a" for i in range(4)})
    live = owner.client.get(f"/queues/{queue.id}/live", params={"mark": mark[1]})
    assert live.status_code == 200
    assert "75%" in live.text
    assert "Question 2?" in live.text.split("Rows that people dispute")[1]
    item = re.search(rf"/queues/{queue.id}/rows/(\d+)", live.text)
    assert item is not None
    row = owner.see(f"/queues/{queue.id}/rows/{item[1]}")
    assert "Ada" in row
    assert "b is better" in row
    owner.send(f"/queues/{queue.id}/close", closed="1")
    ended = owner.client.get(f"/queues/{queue.id}/live")
    assert (ended.status_code, "75%" in ended.text) == (286, True)
    assert queues(studio.people)[0].closed
    owner.send(f"/queues/{queue.id}/close", closed="0")
    assert not queues(studio.people)[0].closed


def test_people_s_rows_are_downloaded_and_written_beside_their_source(
    studio: Studio, owner: Person, work: Path
) -> None:
    owner.send("/queues", source="written", folder="work/plan", **FORM)
    queue = made(studio)
    first = rows_of(studio, queue)[0]["id"]
    rate(studio.people, queue, "Ada", {first: "tie"})
    file = owner.client.get(f"/queues/{queue.id}/files/people.jsonl")
    assert file.headers["content-disposition"].endswith("round-1-people.jsonl")
    [row] = [json.loads(line) for line in file.text.splitlines()]
    assert (row["id"], row["ratings"], row["raters"]) == (first, ["tie"], ["Ada"])
    assert "people-round-1.jsonl" in owner.send(f"/queues/{queue.id}/beside")
    assert read(work / "plan" / "people-round-1.jsonl") == [row]
    assert json.loads(owner.client.get(f"/queues/{queue.id}/files/argilla.json").text)[0]["id"] == first
    tasks = json.loads(owner.client.get(f"/queues/{queue.id}/files/label-studio.json").text)
    assert "Choices" in owner.client.get(f"/queues/{queue.id}/files/label-studio.xml").text
    assert owner.client.get(f"/queues/{queue.id}/files/people.sqlite").status_code == 404
    tasks[1]["annotations"] = [
        {"completed_by": 5, "result": [{"type": "choices", "value": {"choices": ["cannot_tell"]}}]}
    ]
    sent = owner.client.post(
        f"/queues/{queue.id}/import",
        data={"csrf": owner.csrf()},
        files={"answers": ("export.json", json.dumps(tasks).encode())},
    )
    assert "Answers imported: 1. Here already: 1." in sent.text
    assert "label studio 5" in owner.see("/raters")
    assert "elsewhere" not in owner.see(f"/queues/{queue.id}?done=from+elsewhere")


def test_raters_do_not_see_these_pages(studio: Studio) -> None:
    queue = make_queue(studio.people, comparisons(1))
    ada = rater(studio)
    for path in ("/queues", "/queues/new", f"/queues/{queue.id}", f"/queues/{queue.id}/files/people.jsonl", "/raters"):
        assert ada.client.get(path).status_code == 403
    assert ada.client.post("/raters", data={"csrf": ada.csrf(), "name": "Eve"}).status_code == 403


def test_what_models_wrote_is_escaped(studio: Studio, owner: Person) -> None:
    hostile = "<script>alert(1)</script> [x](javascript:alert(1))"
    rows: list[JsonObject] = [
        {
            "id": hostile,
            "prompt": hostile,
            "response_a": hostile,
            "response_b": [{"role": "assistant", "content": hostile}],
        }
    ]
    queue = make_queue(studio.people, rows, raters_per_row=2, name="<b>bold</b>")
    rate(studio.people, queue, "Ada", {hostile: "a"})
    rate(studio.people, queue, "<i>Ben</i>", {hostile: "b"})
    for path in ("/queues", f"/queues/{queue.id}", "/raters"):
        page = owner.see(path)
        assert "<script>alert" not in page
        assert "<b>bold" not in page
        assert "<i>Ben" not in page
    [item] = re.findall(rf"/queues/{queue.id}/rows/\d+", owner.see(f"/queues/{queue.id}"))
    row = owner.see(item)
    assert "<script>alert" not in row
    assert 'href="javascript' not in row
