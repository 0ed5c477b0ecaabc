"""The owner watches a queue in a real browser while people rate."""

from pathlib import Path

from playwright.sync_api import expect

from studio_browser import OpenScreen, Serve
from studio_people import rate
from studio_small import comparisons, make_queue, make_studio


def test_agreement_appears_while_people_rate_and_a_link_is_copied(
    tmp_path: Path, serve: Serve, screen: OpenScreen
) -> None:
    studio = make_studio(tmp_path / "studio")
    queue = make_queue(studio.people, comparisons(12), raters_per_row=2)
    server = serve()
    owner = screen(server.address).sign_in().open(f"/queues/{queue.id}")
    expect(owner.page.get_by_text("not measured: no row has two opinions").first).to_be_visible()
    rate(studio.people, queue, "Ada", {f"r{i}": "a" for i in range(12)})
    rate(studio.people, queue, "Ben", {f"r{i}": "b" if i < 3 else "a" for i in range(12)})
    expect(owner.page.get_by_text("75%").first).to_be_visible()
    expect(owner.page.get_by_role("link", name="Question 1?")).to_be_visible()
    expect(owner.page.locator("figure svg")).to_be_visible()
    assert owner.barriers() == []
    owner.open("/raters")
    owner.page.get_by_label("Name").fill("Cy")
    owner.page.get_by_role("button", name="Make a link").click()
    owner.page.get_by_role("button", name="Copy").click()
    expect(
        owner.page.get_by_role("button", name="Copied").or_(owner.page.get_by_role("button", name="Press"))
    ).to_be_visible()
    assert owner.barriers() == []
    assert owner.errors == []


def test_the_pages_fit_a_phone_and_keep_their_contrast_in_the_dark(
    tmp_path: Path, serve: Serve, screen: OpenScreen
) -> None:
    studio = make_studio(tmp_path / "studio")
    queue = make_queue(studio.people, comparisons(4), raters_per_row=2)
    for name, answer in (("Ada", "a"), ("Ben", "b")):
        rate(studio.people, queue, name, {f"r{i}": answer for i in range(4)})
    item = studio.people.one("SELECT id FROM items LIMIT 1")
    assert item is not None
    phone = screen(serve().address, width=390, height=844, dark=True).sign_in()
    paths = (
        "/queues",
        "/queues/new?source=file",
        f"/queues/{queue.id}",
        f"/queues/{queue.id}/rows/{item['id']}",
        "/raters",
    )
    for path in paths:
        phone.open(path)
        assert phone.page.evaluate("document.documentElement.scrollWidth <= innerWidth"), path
        assert phone.barriers() == [], path
    assert phone.errors == []
