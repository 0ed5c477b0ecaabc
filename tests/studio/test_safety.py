"""Who may do what on every route, sessions and their end, and what happens when the machine fails."""

import json
import os
import re
import signal
import sqlite3
import subprocess
import sys
from contextlib import suppress
from http.cookiejar import CookieJar
from pathlib import Path
from urllib.error import HTTPError
from urllib.request import HTTPCookieProcessor, build_opener

import pytest
from starlette.routing import Route
from starlette.testclient import TestClient

from preceptor.core.errors import PreceptorError
from preceptor.store.own_folder import mark
from preceptor.studio.app import ROUTES, application
from preceptor.studio.context import Studio
from preceptor.studio.database import Database
from preceptor.studio.people import assign, ratings
from preceptor.studio.people.interchange import import_answers
from preceptor.studio.people.queues import progress
from preceptor.studio.people.raters import invite, sign_in, visitor
from preceptor.studio.people.ratings import Choice
from preceptor.studio.serve import open_studio
from studio_people import rate
from studio_small import OWNER_TOKEN, Person, comparisons, make_queue, make_studio, owner, rater

PAGES = [route for route in ROUTES if isinstance(route, Route)]
OF_RATERS = {"/", "/leave", "/rate/{queue}", "/rate/{queue}/undo", "/rate/{queue}/{assignment}"}
OF_EVERYBODY = {"/enter/{token}"}
METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")


@pytest.fixture
def studio(tmp_path: Path) -> Studio:
    return make_studio(tmp_path / "studio")


def address(route: Route) -> str:
    return re.sub(r"{\w+}", "1", route.path)


def said(studio: Studio) -> list[int]:
    """How much the database holds of everything that people and the owner can make."""
    tables = ("raters", "queues", "items", "assignments", "ratings")
    return [studio.people.all(f"SELECT count(*) FROM {table}")[0][0] for table in tables]


@pytest.mark.parametrize("route", PAGES, ids=lambda route: route.path)
def test_every_route_is_closed_to_strangers_and_the_owners_to_raters(studio: Studio, route: Route) -> None:
    make_queue(studio.people, comparisons(2))
    ada, stranger = rater(studio), Person(application(studio))
    token, before = ada.csrf(), said(studio)
    for method in METHODS:
        known = method in (route.methods or ()) or any(
            method in (other.methods or ()) for other in PAGES if other.path == route.path
        )
        data = {"csrf": token} if method in ("POST", "PUT", "PATCH") else None
        expected = 401 if known else 405
        if route.path not in OF_EVERYBODY:
            assert stranger.client.request(method, address(route), data=data).status_code == expected
        if route.path not in OF_EVERYBODY | OF_RATERS:
            assert ada.client.request(method, address(route), data=data).status_code == (403 if known else 405)
    assert said(studio) == before


@pytest.mark.parametrize("route", [r for r in PAGES if "POST" in (r.methods or ())], ids=lambda route: route.path)
def test_every_form_needs_its_token(studio: Studio, route: Route) -> None:
    boss = owner(studio)
    before = said(studio)
    for data in ({}, {"csrf": ""}, {"csrf": rater(studio, "Ben").csrf()}):
        assert boss.client.post(address(route), data=data).status_code == 403
    assert said(studio) == [before[0] + 1, *before[1:]]


def test_nobody_answers_or_takes_back_in_anothers_name(studio: Studio) -> None:
    queue = make_queue(studio.people, comparisons(2))
    ada, ben = rater(studio), rater(studio, "Ben")
    ada.see(f"/rate/{queue.id}")
    [held] = studio.people.all("SELECT id FROM assignments")
    answer = {"csrf": ben.csrf(), "answer": "first"}
    assert ben.client.post(f"/rate/{queue.id}/{held['id']}", data=answer).status_code == 404
    ada.send(f"/rate/{queue.id}/{held['id']}", answer="first")
    ben.send(f"/rate/{queue.id}/undo")
    assert progress(studio.people, queue).ratings == 1


def test_signing_in_begins_a_new_session_and_ends_the_browsers_old_one(studio: Studio) -> None:
    token = invite(studio.people, "Ada")
    first = sign_in(studio.people, token)
    assert first is not None
    second = sign_in(studio.people, token, first)
    assert second not in (None, first)
    assert visitor(studio.people, first) is None
    fixed = TestClient(application(studio), base_url="http://127.0.0.1", cookies={"preceptor_studio_": "chosen"})
    fixed.get(f"/enter/{token}")
    assert visitor(studio.people, "chosen") is None
    [cookie] = [cookie for cookie in fixed.cookies.jar if cookie.value != "chosen"]
    assert cookie.value is not None
    assert visitor(studio.people, cookie.value) is not None


def test_sessions_end_after_a_year_and_with_a_new_link(studio: Studio) -> None:
    session = sign_in(studio.people, invite(studio.people, "Ada"))
    assert session is not None
    token = invite(studio.people, "Ada")
    assert visitor(studio.people, session) is None
    session = sign_in(studio.people, token)
    assert session is not None
    studio.people.write("UPDATE sessions SET created_at = '2020-01-01T00:00:00.000+00:00'")
    assert visitor(studio.people, session) is None
    sign_in(studio.people, token)
    assert len(studio.people.all("SELECT * FROM sessions")) == 1


def test_a_link_stands_on_no_page_after_it_was_used(studio: Studio) -> None:
    token = invite(studio.people, "Ada")
    client = TestClient(application(studio), base_url="http://127.0.0.1", follow_redirects=False)
    entered = client.get(f"/enter/{token}")
    assert (entered.status_code, entered.headers["location"]) == (303, "/")
    assert entered.headers["cache-control"] == "no-store"
    assert "httponly" in entered.headers["set-cookie"].lower()
    assert token not in client.get("/").text
    assert "guessed-token" not in client.get("/enter/guessed-token").text


def test_many_raters_and_sessions_keep_pages_short(studio: Studio) -> None:
    with studio.people.transaction():
        for n in range(1000):
            sign_in(studio.people, invite(studio.people, f"rater {n}"))
    assert owner(studio).see("/raters").count("/revoke") == 1000


@pytest.mark.parametrize(
    ("limit", "words"), [("PRAGMA max_page_count = 1", "disk is full"), ("PRAGMA query_only = ON", "cannot be written")]
)
def test_a_rating_that_cannot_be_stored_is_said_not_to_be(studio: Studio, limit: str, words: str) -> None:
    queue = make_queue(studio.people, comparisons(1))
    ada = rater(studio)
    ada.see(f"/rate/{queue.id}")
    [held] = studio.people.all("SELECT id FROM assignments")
    sent = {"csrf": ada.csrf(), "answer": "first", "reason": "ü" * 3900}  # more than a page of the file
    studio.people.all(limit)
    refused = ada.client.post(f"/rate/{queue.id}/{held['id']}", data=sent)
    assert refused.status_code == 500
    assert words in refused.text
    assert "not saved" in refused.text
    assert "Traceback" not in refused.text
    assert progress(studio.people, queue).ratings == 0
    studio.people.all("PRAGMA max_page_count = 100000")
    studio.people.all("PRAGMA query_only = OFF")
    for _ in range(2):
        assert ada.client.post(f"/rate/{queue.id}/{held['id']}", data=sent).status_code == 200
    assert progress(studio.people, queue).ratings == 1


def test_a_database_that_another_program_has_locked_is_said_to_be(studio: Studio) -> None:
    other = sqlite3.connect(studio.people.path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    studio.people.all("PRAGMA busy_timeout = 1")
    with pytest.raises(PreceptorError, match="another program has locked it"):
        invite(studio.people, "Ada")
    other.execute("ROLLBACK")
    assert invite(studio.people, "Ada")


def test_two_servers_in_one_folder_are_refused(tmp_path: Path) -> None:
    from preceptor.store.lock import exclusive

    (tmp_path / "studio").mkdir()
    with exclusive(tmp_path / "studio"), pytest.raises(PreceptorError, match="another process"):
        open_studio(tmp_path, data=tmp_path / "studio", port=0)
    assert not (tmp_path / "studio" / "people.sqlite").exists()


def test_a_constraint_other_than_a_second_answer_is_no_answer_that_was_there(studio: Studio) -> None:
    queue = make_queue(studio.people, comparisons(1))
    person = rater(studio)
    person.see(f"/rate/{queue.id}")
    [held] = studio.people.all("SELECT id FROM assignments")
    asked = assign.find(studio.people, held["id"])
    assert asked is not None
    with pytest.raises(sqlite3.IntegrityError):
        ratings.record(studio.people, asked, Choice(choice="a"), ratings.Remarks(seconds="soon"))  # type: ignore[arg-type]


def test_another_tools_answers_are_never_the_owners_and_nonsense_in_them_is_left_out(studio: Studio) -> None:
    queue = make_queue(studio.people, comparisons(1))
    row = {"id": "r0", "prompt": "Question 0?", "response_1": "good 0", "response_2": "bad 0"}
    said_ = [{"from_name": "preference", "type": "choices", "value": {"choices": ["1"]}}]
    task = {"id": 1, "data": row, "annotations": [{"result": said_, "created_username": " owner, 3", "lead_time": "x"}]}
    assert import_answers(studio.people, queue, json.dumps([task])).answers == 1
    [given] = studio.people.all(
        "SELECT name, owner, seconds FROM ratings JOIN assignments ON assignments.id = assignment JOIN raters "
        "ON raters.id = rater"
    )
    assert (given["owner"], given["seconds"]) == (0, None)


def test_what_is_no_text_breaks_no_page(tmp_path: Path, studio: Studio) -> None:
    odd = tmp_path / "given" / os.fsdecode(b"caf\xe9")
    odd.mkdir(parents=True)
    mark(odd, "labels")
    boss = owner(make_studio(tmp_path / "other", tmp_path / "given"))
    assert "caf?" in boss.see("/")
    queue = make_queue(studio.people, comparisons(1))
    ada = rater(studio)
    ada.see(f"/rate/{queue.id}")
    body = f"csrf={ada.csrf()}&answer=first&reason=half+%ED%A0%80"
    kind = {"content-type": "application/x-www-form-urlencoded"}
    assert ada.client.post(f"/rate/{queue.id}/1", content=body, headers=kind).status_code == 200
    with pytest.raises(PreceptorError, match="surrogates"):
        studio.people.write("UPDATE raters SET name = ?", "\ud800")


def test_a_report_that_is_a_link_is_not_followed(tmp_path: Path) -> None:
    folder = tmp_path / "given" / "labels"
    folder.mkdir(parents=True)
    mark(folder, "labels")
    (tmp_path / "secret").write_text("the secret")
    (folder / "report.html").symlink_to(tmp_path / "secret")
    boss = owner(make_studio(tmp_path / "studio", tmp_path / "given"))
    answer = boss.client.get("/report", params={"name": "given/labels"})
    assert answer.status_code >= 400
    assert "the secret" not in answer.text


def test_a_transaction_that_fails_leaves_nothing(tmp_path: Path) -> None:
    people = Database(tmp_path / "people.sqlite")
    with pytest.raises(PreceptorError), people.transaction():
        invite(people, "Ada")
        people.write("INSERT INTO nothing VALUES (1)")
    assert people.all("SELECT * FROM raters") == []
    assert OWNER_TOKEN.encode() not in (tmp_path / "people.sqlite").read_bytes()


def test_two_studios_in_one_process_share_nothing_and_one_can_be_started_again(tmp_path: Path) -> None:
    given = tmp_path / "given" / "labels"
    given.mkdir(parents=True)
    mark(given, "labels")
    one, other = make_studio(tmp_path / "studio", tmp_path / "given"), make_studio(tmp_path / "other")
    for _ in range(2):
        with TestClient(application(one), base_url="http://127.0.0.1"), TestClient(application(other)):
            one.index.update()
    assert (one.index.path, other.index.path) == (
        tmp_path / "studio" / "index.sqlite",
        tmp_path / "other" / "index.sqlite",
    )
    assert one.index.progress().problem is None
    rate(one.people, make_queue(one.people, comparisons(1)), "Ada", {"r0": "a"})
    with TestClient(application(one)):
        one.live.write()
    assert [path.name for path in (tmp_path / "studio" / "people").iterdir()] == ["first.jsonl"]
    assert not (tmp_path / "other" / "people").exists()


def test_no_token_is_in_what_a_server_prints_or_in_its_files(tmp_path: Path) -> None:
    """Of a rater, of somebody who guesses, and of sessions: a real server, all that it prints, all its files."""
    data, printed = tmp_path / "studio", tmp_path / "printed.txt"
    token = invite(make_studio(data).people, "Ada")
    environment = os.environ | {"PRECEPTOR_STUDIO_TOKEN": OWNER_TOKEN, "PYTHONUNBUFFERED": "1"}
    command = [sys.executable, "-m", "preceptor", "studio", "--data", str(data), "--port", "0"]
    secrets = [OWNER_TOKEN, token, "a-guessed-token-0123456789"]
    with printed.open("w") as stream:
        server = subprocess.Popen(command, stdout=stream, stderr=subprocess.STDOUT, env=environment)
        try:
            while " at http" not in printed.read_text():
                assert server.poll() is None, printed.read_text()
            address = printed.read_text().split(" at ")[1].split(". ")[0]
            for secret in tuple(secrets):
                cookies = CookieJar()
                person = build_opener(HTTPCookieProcessor(cookies))
                for path in (f"/enter/{secret}", "/no-such-page"):
                    with suppress(HTTPError):  # a guessed token, and a page that is not there
                        person.open(address + path)
                secrets += [cookie.value for cookie in cookies if cookie.value]
        finally:
            server.send_signal(signal.SIGTERM)
            server.wait(timeout=30)
    assert len(secrets) >= 5
    link = f"{address}/enter/{OWNER_TOKEN}"  # the first line prints it, for the owner
    files = [printed, *(file for file in data.rglob("*") if file.is_file())]
    for secret in secrets:
        assert not [file.name for file in files if secret.encode() in file.read_bytes().replace(link.encode(), b"")]


def test_a_servers_terminal_says_what_fails_and_cannot_be_steered(tmp_path: Path) -> None:
    data, printed = tmp_path / "stu\x1b[31mdio", tmp_path / "printed.txt"
    make_studio(data).people.close()
    (data / "index.sqlite").mkdir()  # where the index of rows should be
    command = [sys.executable, "-m", "preceptor", "studio", str(tmp_path), "--data", str(data), "--port", "0"]
    with printed.open("w") as stream:
        server = subprocess.Popen(command, stdout=stream, stderr=subprocess.STDOUT)
        try:
            while "the index of rows" not in printed.read_text():
                assert server.poll() is None, printed.read_text()
        finally:
            server.send_signal(signal.SIGTERM)
            server.wait(timeout=60)
    assert r"stu\x1b[31mdio" in printed.read_text()
    assert "\x1b" not in printed.read_text()
