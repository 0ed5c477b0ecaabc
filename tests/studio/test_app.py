"""Who sees what, and what is refused."""

from pathlib import Path

from starlette.testclient import TestClient

from preceptor.studio.app import application
from preceptor.studio.people.queues import progress
from studio_small import OWNER_TOKEN, Person, comparisons, make_queue, make_studio, owner, rater


def test_a_rater_rates_what_the_owner_queued(tmp_path: Path) -> None:
    studio = make_studio(tmp_path / "studio")
    queue = make_queue(studio.people, comparisons(2))
    ada = rater(studio)
    assert "Question 0?" in ada.see(f"/rate/{queue.id}")
    row = studio.people.one("SELECT id FROM assignments")
    assert row is not None
    assert "Question 1?" in ada.send(f"/rate/{queue.id}/{row['id']}", answer="first")
    assert progress(studio.people, queue).done == 1


def test_nobody_is_let_in_without_a_link_and_raters_do_not_see_the_owners_pages(tmp_path: Path) -> None:
    studio = make_studio(tmp_path / "studio")
    app = application(studio)
    stranger = TestClient(app, base_url="http://127.0.0.1")
    assert stranger.get("/").status_code == 401
    assert stranger.get("/enter/guessed").status_code == 403
    assert owner(studio).see("/")
    assert rater(studio).see("/")


def test_a_form_needs_the_sessions_token_and_the_same_site(tmp_path: Path) -> None:
    studio = make_studio(tmp_path / "studio")
    person = Person(application(studio), OWNER_TOKEN)
    assert person.client.post("/leave", data={"csrf": "guessed"}).status_code == 403
    foreign = {"origin": "http://evil.example"}
    assert person.client.post("/leave", data={"csrf": person.csrf()}, headers=foreign).status_code == 403
    assert (
        person.client.post("/leave", data={"csrf": person.csrf()}, headers={"sec-fetch-site": "cross-site"}).status_code
        == 403
    )
    assert "signed out" in person.send("/leave")
    assert person.client.get("/").status_code == 401


def test_every_answer_carries_the_headers_that_keep_a_page_from_loading_or_being_framed(tmp_path: Path) -> None:
    app = application(make_studio(tmp_path / "studio"), hosts=("127.0.0.1",))
    for path in ("/", "/static/studio.css", "/nothing", "/enter/x"):
        headers = TestClient(app, base_url="http://127.0.0.1").get(path).headers
        assert "default-src 'none'" in headers["content-security-policy"]
        assert "unsafe-inline" not in headers["content-security-policy"].split("script-src")[1].split(";")[0]
        assert headers["x-frame-options"] == "DENY"
    assert TestClient(app, base_url="http://evil.example").get("/").status_code == 403


def test_a_body_that_is_too_large_is_refused(tmp_path: Path) -> None:
    person = Person(application(make_studio(tmp_path / "studio")), OWNER_TOKEN)
    response = person.client.post("/leave", content=b"x" * (33 << 20), headers={"x-csrf": "x"})
    assert response.status_code == 413
