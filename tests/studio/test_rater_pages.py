"""Invitations: a link is shown once, can be replaced and revoked, and nothing stores it."""

import re
from pathlib import Path

import pytest

from preceptor.studio.app import application
from preceptor.studio.context import Studio
from studio_people import rate
from studio_small import Person, comparisons, make_queue, make_studio, owner


@pytest.fixture
def studio(tmp_path: Path) -> Studio:
    return make_studio(tmp_path / "studio")


def link_in(page: str) -> str:
    found = re.search(r'id="link">http://127\.0\.0\.1/enter/([\w-]+)<', page)
    assert found is not None
    return found[1]


def test_a_link_is_shown_once_and_signs_in(studio: Studio, tmp_path: Path) -> None:
    boss = owner(studio)
    token = link_in(boss.send("/raters", name=" Ada  Lovelace "))
    assert token not in boss.see("/raters")
    assert Person(application(studio), token).see("/")
    studio.people.write("PRAGMA wal_checkpoint(TRUNCATE)")
    assert token.encode() not in (tmp_path / "studio" / "people.sqlite").read_bytes()
    refused = boss.client.post("/raters", data={"csrf": boss.csrf(), "name": "Ada Lovelace"})
    assert refused.status_code == 400
    assert "invited already" in refused.text
    assert boss.client.post("/raters", data={"csrf": boss.csrf(), "name": "owner"}).status_code == 400


def test_a_new_link_replaces_the_old_one_and_a_revoked_one_ends(studio: Studio) -> None:
    boss = owner(studio)
    first = link_in(boss.send("/raters", name="Ada"))
    [rater] = set(re.findall(r"/raters/(\d+)/link", boss.see("/raters")))
    second = link_in(boss.send(f"/raters/{rater}/link"))
    stranger = Person(application(studio))
    assert stranger.client.get(f"/enter/{first}").status_code == 403
    ada = Person(application(studio), second)
    assert "revoked" in boss.send(f"/raters/{rater}/revoke")
    assert ada.client.get("/").status_code == 401
    assert boss.client.post("/raters/1/revoke", data={"csrf": boss.csrf()}).status_code == 404  # the owner


def test_the_owner_sees_who_rated_how_much_and_how_well(studio: Studio) -> None:
    queue = make_queue(studio.people, comparisons(4), raters_per_row=2)
    rate(studio.people, queue, "Ada", {f"r{i}": "a" for i in range(4)})
    rate(studio.people, queue, "Ben", {"r0": "a", "r1": "a", "r2": "b", "r3": "cannot_tell"})
    page = owner(studio).see("/raters")
    assert "67% with the others" in page
    assert re.search(r"Ben</th><td>4</td>", page)
