"""A studio for tests: an application over a folder, people who are signed in, a queue of a few rows."""

import re
from collections.abc import Sequence
from pathlib import Path

from starlette.applications import Starlette
from starlette.testclient import TestClient

from preceptor.core.types import JsonObject
from preceptor.studio.app import application
from preceptor.studio.context import Studio
from preceptor.studio.database import Database
from preceptor.studio.folders import Library
from preceptor.studio.people.queues import Guidelines, NewItem, Queue, create
from preceptor.studio.people.raters import ensure_owner, invite

OWNER_TOKEN = "the-token-of-the-owner"


def comparisons(count: int) -> list[JsonObject]:
    """Rows of two responses."""
    return [
        {"id": f"r{i}", "prompt": f"Question {i}?", "response_a": f"good {i}", "response_b": f"bad {i}"}
        for i in range(count)
    ]


def make_studio(folder: Path, *folders: Path) -> Studio:
    """A studio whose own data are in `folder`; it shows `folders`."""
    folder.mkdir(exist_ok=True)
    people = Database(folder / "people.sqlite")
    ensure_owner(people, OWNER_TOKEN)
    return Studio(Library(folders), people, folder)


def make_queue(people: Database, rows: Sequence[JsonObject], name: str = "first", **settings: int | float) -> Queue:
    """A queue of comparisons."""
    items = [NewItem(row) for row in rows]
    return create(people, name, "compare", items, source="a test", guidelines=Guidelines(), **settings)  # type: ignore[arg-type]


class Person:
    """Somebody with a browser: follows links, sends forms with the token that the page carries."""

    def __init__(self, app: Starlette, token: str | None = None) -> None:
        self.client = TestClient(app, base_url="http://127.0.0.1", follow_redirects=True)
        if token is not None:
            assert self.client.get(f"/enter/{token}").status_code == 200

    def see(self, path: str) -> str:
        """The HTML of a page."""
        response = self.client.get(path)
        assert response.status_code == 200, (response.status_code, response.text[-2000:])
        return response.text

    def csrf(self) -> str:
        """What forms of this session must carry."""
        found = re.search(r'name="csrf" value="([^"]+)"', self.see("/"))
        assert found is not None
        return found[1]

    def send(self, path: str, **fields: str) -> str:
        """Sends a form, and returns the HTML of the page that follows."""
        response = self.client.post(path, data={"csrf": self.csrf(), **fields})
        assert response.status_code == 200, (response.status_code, response.text[-2000:])
        return response.text


def owner(studio: Studio) -> Person:
    """The owner, signed in."""
    return Person(application(studio), OWNER_TOKEN)


def rater(studio: Studio, name: str = "Ada") -> Person:
    """A rater, signed in."""
    return Person(application(studio), invite(studio.people, name))
