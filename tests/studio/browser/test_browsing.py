"""Browsing rows in a real browser: by keyboard, with hostile texts, while a file grows."""

import json
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest

import preceptor as pc
from preceptor.core.types import JsonObject
from studio_browser import OpenScreen, Serve

ATTACK = "<script>document.title='owned'</script><img src=x onerror=\"document.title='owned'\"> **bold**"


@pytest.fixture
def labels(tmp_path: Path) -> pc.LabelResult:
    rows: list[JsonObject] = [
        {"id": f"r{i}'\"<b>/☃", "prompt": f"Whale {i}? {ATTACK}", "response_a": ATTACK, "response_b": f"fish {i}"}
        for i in range(3)
    ]
    return pc.label(rows, judges="scripted:random", out=tmp_path / "work" / "labels")


def test_rows_are_searched_opened_and_followed_by_keyboard(
    tmp_path: Path, labels: pc.LabelResult, serve: Serve, screen: OpenScreen
) -> None:
    owner = screen(serve(tmp_path / "work").address).sign_in().open("/rows")
    page = owner.page
    page.get_by_label("Words in prompts").fill('fish "whale 1"')
    page.keyboard.press("Enter")
    page.get_by_text("1 row", exact=True).wait_for()
    page.goto(f"{owner.address}/rows?sort=-id")
    page.locator("table.rows tbody a").first.press("Enter")
    page.get_by_role("heading", name="r2").wait_for()
    page.wait_for_load_state("networkidle")
    page.keyboard.press("ArrowRight")
    page.get_by_role("heading", name="r1").wait_for()
    page.wait_for_load_state("networkidle")
    assert parse_qs(urlsplit(page.url).query)["sort"] == ["-id"]
    page.keyboard.press("d")
    page.locator("ins").first.wait_for()
    page.locator("details.call summary").first.press("Enter")
    assert ATTACK[:8] in page.locator("details.call .text").first.inner_text()
    assert owner.barriers() == []
    assert page.title() != "owned"
    assert owner.errors == []


def test_a_file_that_grows_is_followed(
    tmp_path: Path, labels: pc.LabelResult, serve: Serve, screen: OpenScreen
) -> None:
    owner = screen(serve(tmp_path / "work").address, width=390, dark=True).sign_in().open("/rows")
    file = labels.path / "preferences.jsonl"
    line = json.loads(file.read_text(encoding="utf-8").splitlines()[0])
    with file.open("a", encoding="utf-8") as stream:
        for number in range(3, 3000):
            stream.write(json.dumps(line | {"row": number, "id": f"more {number}"}) + "\n")
    for _ in range(500):  # it looks at the folders every few seconds
        if owner.open("/rows").page.inner_text(".found strong") == "3,000 rows":
            break
    owner.open("/rows?page=60")
    owner.page.get_by_text("more 2999").wait_for()
    assert owner.page.evaluate("document.documentElement.scrollWidth") <= 390
    assert owner.errors == []
