"""Names from outside are text on every page that shows them."""

import json
from pathlib import Path

import pytest

from preceptor.core.progress import Silence
from preceptor.studio.app import application
from preceptor.studio.people.raters import invite
from preceptor.tasks.label import label
from studio_people import rate
from studio_small import OWNER_TOKEN, Person, comparisons, make_queue, make_studio

HOSTILE = "\"'><img src=x onerror=alert(1)>{{7*7}}$"


@pytest.fixture
def boss(tmp_path: Path) -> Person:
    rows = [
        row | {"id": HOSTILE + str(i), "cohort": HOSTILE, "prompt": HOSTILE} for i, row in enumerate(comparisons(3))
    ]
    label(rows, judges="scripted:random", out=tmp_path / "given" / "<img src=x>", progress=Silence())
    studio = make_studio(tmp_path / "studio", tmp_path / "given")
    queue = make_queue(studio.people, rows, name=HOSTILE, raters_per_row=2)
    invite(studio.people, HOSTILE)
    rate(studio.people, queue, HOSTILE, {f"{HOSTILE}{i}": "a" for i in range(3)})
    rate(studio.people, queue, "Ben", {f"{HOSTILE}{i}": "b" for i in range(3)})
    studio.index.update()
    return Person(application(studio), OWNER_TOKEN)


@pytest.mark.parametrize(
    "path",
    [
        "/", "/queues", "/queues/1", "/queues/1/live", "/queues/1/rows/1", "/rate/1", "/raters", "/rows", "/runs",
        "/cohorts", "/constitutions", "/queues/new?source=cohort&folder=given/<img src=x>", f"/rows?words={HOSTILE}",
        f"/rows?cohort={HOSTILE}", f"/rows?sort={HOSTILE}", f"/runs/one?name={HOSTILE}", f"/cohorts/one?of={HOSTILE}",
        f"/constitutions/{HOSTILE}", "/report?name=<img src=x>",
    ],
)  # fmt: skip
def test_hostile_names_are_text(boss: Person, path: str) -> None:
    page = boss.client.get(path)
    assert page.status_code in (200, 400, 404)
    assert page.headers["content-type"].startswith("text/html")
    assert "<img" not in page.text
    assert "49$" not in page.text


@pytest.mark.parametrize("name", ["people.jsonl", "argilla.json", "label-studio.json", "label-studio.xml"])
def test_downloads_are_files_and_never_pages(boss: Person, name: str) -> None:
    file = boss.client.get(f"/queues/1/files/{name}")
    assert file.headers["content-disposition"].startswith("attachment; filename*=UTF-8''")
    assert "<" not in file.headers["content-disposition"]
    assert (file.headers["content-type"], file.headers["x-content-type-options"]) == (
        "application/octet-stream",
        "nosniff",
    )
    rows = boss.client.get("/rows/export")
    assert json.loads(rows.text.splitlines()[0])["prompt"][0]["content"] == HOSTILE
    assert rows.headers["content-disposition"].startswith("attachment")
