"""Rating in a real browser: by keyboard, by drag, through a killed server, by two people at once, hostile texts."""

import json
from pathlib import Path

import pytest
from playwright.sync_api import FloatRect, Page

from preceptor.core.types import JsonObject
from preceptor.judging.constitution import load_constitution
from preceptor.studio.database import Database
from preceptor.studio.people.guidelines import guidelines_of
from preceptor.studio.people.queues import Guidelines, NewItem, Queue, create, progress
from preceptor.studio.people.raters import invite
from studio_browser import OpenScreen, Screen, Serve
from studio_small import comparisons, make_queue, make_studio

HOSTILE = (
    "<script>document.title = 'owned'</script><img src=x onerror=\"document.title = 'owned'\">\n\n"
    "[press](javascript:document.title='owned') ![x](data:image/svg+xml,<svg onload=alert(1)>) "
    "<a href='//evil.example'>\n\n"
    "```python\nprint('<b>')\n```\n\n</form></section></main> \u202e reversed <style>body { display: none }</style>\n\n"
    "| a | b |\n|---|---|\n| <iframe src=//evil.example> | **bold** |\n\n" + "x" * 3000
)


def press(screen: Screen, key: str) -> None:
    """Presses a key that sends an answer."""
    with screen.page.expect_navigation():
        screen.page.keyboard.press(key)


def answers(people: Database) -> list[JsonObject]:
    """Every answer that stands, in the order in which they were given."""
    records = people.all("SELECT answer FROM ratings WHERE undone_at IS NULL ORDER BY id")
    return [json.loads(record["answer"]) for record in records]


def rank_queue(people: Database) -> Queue:
    """A queue of two rows with four responses each."""
    rows: list[JsonObject] = [
        {"id": f"k{i}", "prompt": f"Name {i}?", "responses": [f"response {n}" for n in range(4)]} for i in range(2)
    ]
    return create(people, "rank", "rank", [NewItem(row) for row in rows], source="a test", guidelines=Guidelines())


def test_ten_rows_by_keyboard_through_a_killed_server(tmp_path: Path, serve: Serve, screen: OpenScreen) -> None:
    studio = make_studio(tmp_path / "studio")
    queue = make_queue(studio.people, comparisons(10))
    token = invite(studio.people, "Ada")
    server = serve()
    ada = screen(server.address).sign_in(token).open(f"/rate/{queue.id}")
    for key in ("1", "ArrowRight", "0", "t", "2"):
        press(ada, key)
    assert ada.barriers() == []
    server.kill()
    assert progress(studio.people, queue).ratings == 5
    again = screen(serve().address).sign_in(token).open(f"/rate/{queue.id}")
    for key in ("1", "2", "ArrowLeft", "0", "s"):
        press(again, key)
    assert "Nothing is left for you" in again.page.inner_text("main")
    given = [answer["choice"] for answer in answers(studio.people)]
    assert len(given) == 10
    assert [given[2], given[3], given[8], given[9]] == ["tie", "cannot_tell", "tie", "skip"]
    assert set(given[:2]) <= {"a", "b"}
    assert ada.errors == again.errors == []


def _guided(tmp_path: Path) -> tuple[str, str]:
    """Makes a queue with the guidelines of a constitution. Returns its page and a rater's token."""
    studio = make_studio(tmp_path / "studio")
    items = [NewItem(row) for row in comparisons(1)]
    guidelines = guidelines_of(load_constitution("helpful"))
    queue = create(studio.people, "guided", "compare", items, source="a test", guidelines=guidelines)
    return f"/rate/{queue.id}", invite(studio.people, "Ada")


def _box(screen: Screen, selector: str) -> FloatRect:
    box = screen.page.locator(selector).first.bounding_box()
    assert box is not None
    return box


def test_guidelines_stand_beside_the_responses_until_they_are_folded(
    tmp_path: Path, serve: Serve, screen: OpenScreen
) -> None:
    page, token = _guided(tmp_path)
    ada = screen(serve().address).sign_in(token).open(page)
    second, guide = _box(ada, ".response:last-child"), _box(ada, ".guide")
    assert guide["x"] > second["x"] + second["width"]
    assert guide["y"] < second["y"] < guide["y"] + guide["height"] <= 900
    assert ada.barriers() == []
    ada.page.keyboard.press("g")
    assert _box(ada, ".response:last-child")["width"] > 1.2 * second["width"]
    assert _box(ada.open(page), ".guide")["height"] < 60  # it stays folded
    ada.page.locator(".guide > summary").click()
    assert _box(ada.open(page), ".guide")["height"] > 300
    assert ada.errors == []


@pytest.mark.parametrize(("width", "open_at_first"), [(900, True), (390, False)])
def test_on_a_narrow_screen_guidelines_leave_room_for_the_responses(
    tmp_path: Path, serve: Serve, screen: OpenScreen, width: int, open_at_first: bool
) -> None:
    page, token = _guided(tmp_path)
    ada = screen(serve().address, width=width).sign_in(token).open(page)
    for _ in range(2):  # what the page folded by itself is not remembered as the rater's wish
        assert (ada.page.locator(".guide[open]").count() == 1) == open_at_first
        assert _box(ada, ".response")["y"] + 80 < _box(ada, ".verdict")["y"]  # its heading and first lines are in sight
        assert ada.page.evaluate("localStorage.length") == 0
        ada.open(page)
    assert ada.barriers() == []


def test_an_answer_is_taken_back_and_remarks_are_kept(tmp_path: Path, serve: Serve, screen: OpenScreen) -> None:
    studio = make_studio(tmp_path / "studio")
    queue = make_queue(studio.people, comparisons(2))
    ada = screen(serve().address).sign_in(invite(studio.people, "Ada")).open(f"/rate/{queue.id}")
    ada.page.keyboard.press("9")
    ada.page.keyboard.press("f")
    ada.page.keyboard.press("r")
    ada.page.keyboard.type("the 1st is 2 short")  # keys in a field answer nothing
    ada.page.keyboard.press("Escape")
    press(ada, "1")
    press(ada, "u")
    assert "You took back your answer: the first is better" in ada.page.inner_text("main")
    assert ada.page.input_value("[name=reason]") == "the 1st is 2 short"
    press(ada, "2")
    [record] = studio.people.all("SELECT * FROM ratings WHERE undone_at IS NULL")
    assert (record["reason"], record["confidence"], record["flagged"]) == ("the 1st is 2 short", 3, 1)
    assert 0 <= record["seconds"] < 60
    assert len(studio.people.all("SELECT * FROM ratings")) == 2
    assert ada.errors == []


def _drag(page: Page, letter: str, onto: str) -> None:
    items = page.locator("[data-ranking] > li")
    one, other = (items.filter(has=page.locator(f".letter:text-is('{name}')")) for name in (letter, onto))
    one.drag_to(other, target_position={"x": 60, "y": 4})


def test_four_responses_are_ranked_by_keys_and_by_drag(tmp_path: Path, serve: Serve, screen: OpenScreen) -> None:
    studio = make_studio(tmp_path / "studio")
    queue = rank_queue(studio.people)
    ada = screen(serve().address).sign_in(invite(studio.people, "Ada")).open(f"/rate/{queue.id}")
    assert ada.barriers() == []
    order = [text.split()[-1] for text in ada.page.locator("[data-ranking] .words").all_inner_texts()]
    for key in ("ArrowDown", "ArrowDown", "ArrowDown", "ArrowDown", "1", "ArrowDown", "ArrowDown", "ArrowDown", "="):
        ada.page.keyboard.press(key)  # D to the top: D A B C; then C is tied with B
    assert ada.page.locator(".letter").all_inner_texts() == ["D", "A", "B", "C"]
    assert ada.page.locator(".rank").all_inner_texts() == ["1.", "2.", "3.", "3."]
    press(ada, "Enter")
    ranks = dict(zip(order, (2, 3, 3, 1), strict=True))
    assert answers(studio.people)[0] == {"ranks": [ranks[str(n)] for n in range(4)]}
    order = [text.split()[-1] for text in ada.page.locator("[data-ranking] .words").all_inner_texts()]
    _drag(ada.page, "D", "A")
    assert ada.page.locator(".letter").all_inner_texts() == ["D", "A", "B", "C"]
    ada.page.get_by_role("button", name="Move response B up").click()
    press(ada, "u")  # the first row again, as it was ranked
    assert ada.page.locator(".rank").all_inner_texts() == ["1.", "2.", "3.", "3."]
    press(ada, "Enter")
    assert ada.errors == []


def test_two_raters_at_once_never_get_the_same_row(tmp_path: Path, serve: Serve, screen: OpenScreen) -> None:
    studio = make_studio(tmp_path / "studio")
    queue = make_queue(studio.people, comparisons(6))
    address = serve().address
    people = [screen(address).sign_in(invite(studio.people, name)).open(f"/rate/{queue.id}") for name in ("Ada", "Ben")]
    for _ in range(3):
        prompts = [person.page.inner_text(".prompt-panel") for person in people]
        assert prompts[0] != prompts[1]
        for person in people:
            press(person, "1")
    assert progress(studio.people, queue).done == 6
    assert all(person.errors == [] for person in people)


@pytest.mark.parametrize(("width", "dark"), [(1280, False), (1280, True), (390, False)])
def test_hostile_texts_are_only_text_on_every_screen(
    tmp_path: Path, serve: Serve, screen: OpenScreen, width: int, dark: bool
) -> None:
    studio = make_studio(tmp_path / "studio")
    rows: list[JsonObject] = [{"id": "<b>", "prompt": HOSTILE, "response_a": HOSTILE, "response_b": "y" * 200_000}]
    guidelines = Guidelines(summary=HOSTILE, principles=(HOSTILE,))
    queue = create(
        studio.people, "<script>1</script>", "compare", [NewItem(rows[0])], source="a test", guidelines=guidelines
    )
    ada = screen(serve().address, width=width, dark=dark).sign_in(invite(studio.people, "<i>Ada</i>"))
    for view in ("", "?view=plain", "?view=differences"):
        ada.open(f"/rate/{queue.id}{view}")
        assert "preceptor studio" in ada.page.title()
        assert ada.page.locator("main script, main img, main iframe, main style, main a[href*='script']").count() == 0
        assert ada.page.evaluate("document.documentElement.scrollWidth") <= width
        assert "\\u202e reversed" in ada.page.inner_text(".prompt-panel")
        assert ada.barriers() == []
    press(ada, "1")
    assert ada.errors == []
