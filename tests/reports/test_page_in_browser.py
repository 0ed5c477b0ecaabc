"""What a report's own script does, in a real browser: the search and the CSV; and that a page needs neither."""

import csv
import io
from pathlib import Path

import pytest
from evaluation_examples import change, example, whole
from playwright.sync_api import Browser

from preceptor.evaluation.intervals import Estimate
from preceptor.evaluation.judges.attack_rates import AttackRate, JudgeAttacks
from preceptor.evaluation.judges.judge_audit import Audit
from preceptor.reports.audit.page import render_audit
from preceptor.reports.evaluation.page import render_evaluation
from studio_browser import OpenScreen, Screen

EVERY = [example("win", f"about bread {'and ships' if i % 4 == 0 else ''}", i) for i in range(20)]
FORMULA = "=HYPERLINK(1)"


@pytest.fixture
def page(tmp_path: Path) -> str:
    changes = (change(FORMULA, "exact match", -0.12, "regressed"), change('a "b", c', "win rate", 0.2, "improved"))
    path = tmp_path / "report.html"
    path.write_text(render_evaluation(whole(changes=changes), EVERY), encoding="utf-8")
    return path.as_uri()


def test_all_responses_can_be_searched(page: str, screen: OpenScreen) -> None:
    window = screen("").open(page)
    shown = window.page.locator("details.every article:visible")
    assert shown.count() == 0
    box = window.page.get_by_label("Search all 20")
    box.fill("SHIPS bread")
    assert shown.count() == 5
    assert "5 of 20" in window.page.locator("output").inner_text()
    assert window.page.locator(".picked").is_hidden()
    box.fill("")
    assert window.page.locator(".picked").is_visible()
    assert window.errors == []


def test_a_table_is_downloaded_as_csv_in_which_no_cell_is_a_formula(page: str, screen: OpenScreen) -> None:
    window = screen("").open(page)
    with window.page.expect_download() as download:
        window.page.get_by_label("Download as CSV: Changes").click()
    assert download.value.suggested_filename == "preceptor-tuned-against-base-changes.csv"
    text = Path(download.value.path()).read_text(encoding="utf-8-sig")
    head, first, second = csv.reader(io.StringIO(text))
    assert head == ["Cohort", "Measure", "Before", "After", "Change", "Change, 95% from", "Change, 95% to",
                    "p, corrected", "Verdict"]  # fmt: skip
    assert first == [f"'{FORMULA}", "exact match", "0.70", "0.58", "-0.12", "-0.17", "-0.07", "0.003", "regressed"]
    assert second[0] == 'a "b", c'
    assert window.errors == []


def test_a_cell_over_several_rows_is_in_each_row_of_the_csv(tmp_path: Path, screen: OpenScreen) -> None:
    half, path = Estimate(value=0.5, low=0.1, high=0.9, n=8), tmp_path / "audit.html"
    rates = tuple(
        AttackRate(attack=name, kind="hollow", n=8, failed=0, fooled=half, shown_first=0.5, shown_second=None)
        for name in ("empty", "colon")
    )
    attacks = [JudgeAttacks(label=f"model · {name}", rates=rates, worst=()) for name in ("strict", "mild")]
    path.write_text(render_audit(Audit(judges=(), comparisons=()), {}, attacks=attacks), encoding="utf-8")
    window = screen("").open(path.as_uri())
    with window.page.expect_download() as download:
        window.page.get_by_label("Download as CSV: Attacks").click()
    text = Path(download.value.path()).read_text(encoding="utf-8-sig")
    _, *rows = csv.reader(io.StringIO(text))
    assert [row[:2] for row in rows] == [
        ["model strict", "empty (hollow)"],
        ["model strict", "colon (hollow)"],
        ["model mild", "empty (hollow)"],
        ["model mild", "colon (hollow)"],
    ]
    assert window.page.locator("th[rowspan='2']").count() == 2  # each judge is named once
    assert window.errors == []


def test_without_scripts_everything_can_be_read(page: str, chromium: Browser) -> None:
    context = chromium.new_context(java_script_enabled=False)
    window = Screen(context, "").open(page).page
    assert window.locator("input, button").locator("visible=true").count() == 0
    window.get_by_text("All 20", exact=True).click()
    assert window.locator("details.every article").locator("visible=true").count() == 20
    context.close()


@pytest.mark.parametrize(("width", "dark"), [(1280, False), (390, True)])
def test_nobody_is_shut_out(page: str, screen: OpenScreen, width: int, dark: bool) -> None:
    window = screen("", width=width, dark=dark).open(page)
    window.page.evaluate("document.querySelectorAll('details').forEach((each) => { each.open = true; })")
    assert window.barriers() == []
    assert window.page.evaluate("document.documentElement.scrollWidth") <= width


def test_contents_lead_to_their_sections_by_the_keyboard(page: str, screen: OpenScreen) -> None:
    window = screen("").open(page)
    window.page.keyboard.press("Tab")
    window.page.keyboard.press("Enter")
    window.page.wait_for_url(lambda url: url.endswith("#preferred"))
