"""Names, errors and constitutions from outside are text on every page that shows them, and in the log."""

import json
import re
import time
from html import unescape
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
import tomli_w
from starlette.requests import Request
from starlette.responses import Response
from starlette.testclient import TestClient

from preceptor.core.progress import Silence
from preceptor.evaluation.checkpoints.snapshot import MeasuredResponse, Snapshot
from preceptor.judging.constitution import load_constitution
from preceptor.judging.specs import JudgeSpec
from preceptor.recipes.load import load_recipe
from preceptor.results.run import RunStatus
from preceptor.runs.directory import RunDirectory
from preceptor.store.files import append_line
from preceptor.studio.app import application
from preceptor.studio.people.raters import invite
from preceptor.tasks.label import label
from studio_people import rate
from studio_small import OWNER_TOKEN, Person, comparisons, make_queue, make_studio

HOSTILE = "\"'><img src=x onerror=alert(1)>{{7*7}}$"
STEERING = f"{HOSTILE} <script>alert(1)</script> [x](javascript:alert(1)) ![x](http://x) \x1b[31m\u202e\u2028 &lt;"
"""Hostile as HTML, JavaScript, a template, Markdown, and to a terminal."""
HIDDEN = re.compile("[\x00-\x08\x0b-\x1f\x7f\u202a-\u202e\u2028\u2029]")


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


def run_that_failed(folder: Path) -> RunDirectory:
    """A run whose names, errors, prompts, responses and numbers are hostile."""
    run = RunDirectory.create(folder / HOSTILE.replace("/", ""), load_recipe("quickstart"))
    run.tidy()
    run.write_summary(RunStatus(status="failed", error=STEERING))
    for facts in ({"step": 1, "reward": 0.5}, {"step": STEERING, "reward": STEERING}, {STEERING: 1}):
        append_line(run.path / "metrics.jsonl", facts)
    response = MeasuredResponse(
        prompt_id=STEERING, cohort=STEERING, prompt=STEERING, text=STEERING, tokens=1, finished=False, kl=None,
        judge_score=None, choice_mass=None, heldout_score=0.5,
    )  # fmt: skip
    run.snapshot("step-000000", lambda: Snapshot(step=0, responses=(response,), references=()))
    damaged = RunDirectory.create(folder / "damaged", load_recipe("quickstart"))
    damaged.write_summary(RunStatus(status="failed"))
    (damaged.path / "summary.json").write_text(json.dumps({"status": STEERING, STEERING: STEERING}))
    wrong = RunDirectory.create(folder / "wrong", load_recipe("quickstart"))
    (wrong.path / "recipe.toml").write_text(f"method = {json.dumps(STEERING)}\n", encoding="utf-8")
    return run


def check_text(page: Any, *statuses: int) -> None:
    """Nothing in a page comes from outside as anything but text that is visible.

    Args:
        statuses: those that the page may have; 200 if none is given.
    """
    assert page.headers["content-type"].startswith("text/html")
    assert page.status_code in (statuses or (200,))
    assert "This is a bug" not in page.text
    assert not re.search(r"<(img|script)(?! src=\"/static/)", page.text)
    assert not re.search(r"(href|src)=\"\s*javascript:", page.text, re.IGNORECASE)
    assert "49$" not in page.text
    assert not HIDDEN.search(page.text)


def test_errors_and_measurements_of_runs_are_text(tmp_path: Path) -> None:
    run = run_that_failed(tmp_path / "runs")
    studio = make_studio(tmp_path / "studio", tmp_path / "runs")
    studio.index.update()
    boss = Person(application(studio), OWNER_TOKEN)
    named = quote(f"runs/{run.path.name}")
    pages = [f"/runs/{page}?name={named}" for page in ("one", "samples", "overlay")]
    for path in ("/", "/runs", "/rows?what=scores", f"/rows/row?of={named}&id={quote(STEERING)}", *pages):
        check_text(boss.client.get(path))
    check_text(boss.client.get(f"/runs/live?name={named}"), 286)
    for other in ("damaged", "wrong"):
        check_text(boss.client.get(f"/runs/one?name=runs/{other}"), 400, 500)
    shown = boss.see(f"/runs/one?name={named}")
    for part in (r"\x1b[31m", r"\u202e", "&lt;script&gt;", "<svg"):
        assert part in shown
    assert "damaged" in boss.see("/runs")


def test_constitutions_from_outside_are_text(tmp_path: Path) -> None:
    work = tmp_path / "work"
    work.mkdir()
    criterion = {"name": STEERING, "question": STEERING, "anchors": {"1": STEERING, "10": STEERING}}
    exemplar = dict.fromkeys(("prompt", "response_1", "response_2", "rationale"), STEERING)
    hostile: dict[str, Any] = {
        "name": STEERING, "version": STEERING, "summary": STEERING, "instruction": STEERING, "principles": [STEERING],
        "pairwise": {"question": STEERING, "exemplars": [exemplar | {"preferred": "1"}]},
        "score": {"criteria": [criterion]},
    }  # fmt: skip
    hashes: list[str] = []
    for version in ("1", "2"):
        file = work / f"hostile-{version}.toml"
        file.write_text(tomli_w.dumps(hostile | {"version": STEERING + version}), encoding="utf-8")
        hashes.append(load_constitution(str(file)).hash)
        judge = JudgeSpec(model="scripted:random", constitution=str(file))
        label(comparisons(3), judges=[judge], out=work / f"labels-{version}", progress=Silence())
    studio = make_studio(tmp_path / "studio", work)
    studio.index.update()
    boss = Person(application(studio), OWNER_TOKEN)
    paths = [f"/constitutions/{hash_}{end}" for hash_ in hashes for end in ("", "/edit")]
    paths += [
        f"/constitutions/compare?before={hashes[0]}&after={hashes[1]}",
        "/constitutions",
        "/queues/new?source=file",
    ]
    for path in (*paths, "/rows", "/rows/row?of=work/labels-1&id=r0", "/rows/calls?of=work/labels-1&id=r0"):
        check_text(boss.client.get(path))
    rows = {"rows": ("rows.jsonl", "".join(json.dumps(row) + "\n" for row in comparisons(3)))}
    given = {"csrf": boss.csrf(), "source": "file", "name": "guided", "constitution": hashes[0]}
    check_text(boss.client.post("/queues", data=given, files=rows))
    for path in ("/queues/1", "/rate/1"):
        check_text(boss.client.get(path))
    assert boss.see("/rate/1").count("&lt;script&gt;") >= 5  # title, summary, principle, question and example
    for text in (f'name = "{HOSTILE}', tomli_w.dumps(hostile | {"principles": []}), "\x1b[31m = <script>"):
        draft = {"csrf": boss.csrf(), "text": text, "source": "work/labels-1", "model": STEERING}
        for form in ("try", "save"):
            check_text(boss.client.post(f"/constitutions/{hashes[0]}/{form}", data=draft), 400)
    saved = boss.client.post(
        f"/constitutions/{hashes[0]}/save",
        data={"csrf": boss.csrf(), "text": tomli_w.dumps(hostile | {"version": f"{STEERING}3"})},
    )
    check_text(saved)
    [file] = (tmp_path / "studio" / "constitutions").glob("*.toml")
    assert re.fullmatch(r"[A-Za-z0-9._-]+", file.name)


def test_a_trial_that_fails_says_so_in_text(tmp_path: Path) -> None:
    work = tmp_path / "work"
    label(comparisons(3), judges="scripted:random", out=work / "labels", progress=Silence())
    boss = Person(application(make_studio(tmp_path / "studio", work)), OWNER_TOKEN)
    helpful = load_constitution("helpful").hash
    text = boss.see(f"/constitutions/{helpful}/edit").split('spellcheck="true">')[1].split("</textarea>")[0]
    for model in ("/no/<script>alert(1)</script>.gguf", f"unknown:{STEERING}"):
        draft = {"csrf": boss.csrf(), "text": unescape(text), "source": "work/labels", "model": model, "rows": "1"}
        check_text(boss.client.post(f"/constitutions/{helpful}/try", data=draft), 400)
    model = tmp_path / "<script>alert(1).gguf"
    model.write_bytes(b"GGUF, but not more")
    draft = {"csrf": boss.csrf(), "text": unescape(text), "source": "work/labels", "model": str(model), "rows": "1"}
    page = boss.client.post(f"/constitutions/{helpful}/try", data=draft)
    end = time.monotonic() + 60
    while "Judging" in page.text and time.monotonic() < end:
        page = boss.client.get(f"/constitutions/{helpful}/trials/1/progress")
    check_text(page, 200, 286)
    assert "&lt;script&gt;alert(1).gguf" in page.text


def test_a_log_cannot_steer_a_terminal(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    folder = tmp_path / STEERING.replace("/", "")
    folder.mkdir()
    studio = make_studio(folder)
    rate(studio.people, make_queue(studio.people, comparisons(1)), "Ada", {"r0": "a"})
    (folder / "people").write_text("in the way of the folder")
    studio.live.write()
    assert r"\x1b[31m" in caplog.text

    def broken(_: Request) -> Response:
        raise ValueError(STEERING)

    app = application(studio)
    app.add_route("/broken", broken)
    client = TestClient(app, base_url="http://127.0.0.1", raise_server_exceptions=False)
    page = client.get("/broken")
    assert (page.status_code, "This is a bug" in page.text, "x1b" in page.text) == (500, True, False)
    assert caplog.text.count(r"\x1b[31m") >= 2
    assert not HIDDEN.search(caplog.text)
