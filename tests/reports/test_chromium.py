"""The reports in a real browser: drawn, nothing runs, nothing is fetched, and they fit a phone in both schemes."""

import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from evaluation_examples import SCRIPT, hostile, whole
from PIL import Image
from test_compare_report import compared

from preceptor.reports.compare.page import render_compare
from preceptor.reports.evaluation.page import render_evaluation
from preceptor.reports.run.page import render_report
from run_examples import data

CHROMIUM = shutil.which("chromium")
FLAGS = (
    "--headless --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking "
    "--disable-component-update --disable-sync --hide-scrollbars --enable-logging=stderr"
)
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="chromium is not installed (Debian: apt install chromium)")


def browse(page: Path, *flags: str) -> subprocess.CompletedProcess[str]:
    profile = f"--user-data-dir={page.parent / 'profile'}"
    return subprocess.run(
        [str(CHROMIUM), *FLAGS.split(), profile, *flags, page.as_uri()],
        capture_output=True, text=True, check=True, timeout=120,
    )  # fmt: skip


def written(folder: Path, text: str) -> Path:
    page = folder / "report.html"
    page.write_text(text, encoding="utf-8")
    return page


@pytest.mark.parametrize(
    ("render", "title", "figures"),
    [
        (lambda: render_evaluation(hostile()), "preceptor: tuned against base", 7),
        (lambda: render_report(data()), "preceptor: c, seed 0", 5),
        (lambda: render_compare(compared()), "preceptor: one against two", 3),
    ],
    ids=["evaluation", "run", "compare"],
)  # fmt: skip
def test_a_browser_draws_the_page_and_runs_nothing(
    tmp_path: Path, render: Callable[[], str], title: str, figures: int
) -> None:
    done = browse(written(tmp_path, render()), "--dump-dom", "--virtual-time-budget=500")
    assert f"<title>{title}</title>" in done.stdout  # a script that ran would have changed it
    assert done.stdout.count('<svg role="img"') == figures
    assert done.stdout.count("<path") > 10 * figures
    assert done.stdout.count("<script") == 1
    assert "CONSOLE" not in done.stderr  # no error, nothing refused: nothing was tried


@pytest.fixture(scope="module")
def evaluation() -> str:
    return render_evaluation(whole())


def test_the_page_itself_forbids_what_escaping_should_have_caught(tmp_path: Path, evaluation: str) -> None:
    done = browse(
        written(tmp_path, evaluation.replace("<main>", f"<main>{SCRIPT}")), "--dump-dom", "--virtual-time-budget=500"
    )
    assert "<title>preceptor: tuned against base</title>" in done.stdout
    assert "Content Security Policy" in done.stderr


@pytest.mark.parametrize(("scheme", "paper", "ink"), [(1, "#fbfaf7", "#1b2330"), (0, "#14181d", "#e6e8ea")])
def test_it_fits_a_phone_in_both_schemes(tmp_path: Path, evaluation: str, scheme: int, paper: str, ink: str) -> None:
    """Drawn 390 points wide: the margins on both sides are empty paper, so nothing sticks out."""
    page, picture = written(tmp_path, evaluation), tmp_path / "page.png"
    browse(
        page, f"--blink-settings=preferredColorScheme={scheme}", "--window-size=390,6000", f"--screenshot={picture}"
    )  # fmt: skip
    image = Image.open(picture).convert("RGB")
    colours = {colour: count for count, colour in image.getcolors(1 << 24) or []}
    assert image.size == (390, 6000)
    assert max(colours, key=lambda colour: colours[colour]) == rgb(paper)
    assert colours[rgb(ink)] > 500
    for edge in (image.crop((0, 0, 12, 6000)), image.crop((378, 0, 390, 6000))):
        assert [colour for _, colour in edge.getcolors(1 << 16) or []] == [rgb(paper)]


def rgb(colour: str) -> tuple[int, ...]:
    return tuple(int(colour[i : i + 2], 16) for i in (1, 3, 5))
