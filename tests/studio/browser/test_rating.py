"""Rating in a real browser: by keyboard, through a killed server, by two people at once."""

from pathlib import Path

from preceptor.studio.people.queues import progress
from preceptor.studio.people.raters import invite
from studio_browser import OpenScreen, Serve
from studio_small import comparisons, make_queue, make_studio


def test_rows_are_rated_by_keyboard_and_a_killed_server_loses_none(
    tmp_path: Path, serve: Serve, screen: OpenScreen
) -> None:
    studio = make_studio(tmp_path / "studio")
    queue = make_queue(studio.people, comparisons(4))
    token = invite(studio.people, "Ada")
    server = serve()
    ada = screen(server.address).sign_in(token).open(f"/rate/{queue.id}")
    for key in ("1", "ArrowRight"):
        with ada.page.expect_navigation():
            ada.page.keyboard.press(key)
    assert ada.barriers() == []
    server.kill()
    assert progress(studio.people, queue).done == 2
    again = screen(serve().address).sign_in(token).open(f"/rate/{queue.id}")
    with again.page.expect_navigation():
        again.page.keyboard.press("0")
    assert progress(studio.people, queue).done == 3
    assert ada.errors == again.errors == []
