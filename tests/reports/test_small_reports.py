"""The reports of estimates, people's agreement and trajectories."""

from pathlib import Path
from typing import Any

import pytest
from evaluation_examples import SCRIPT
from pages import check_page, without_script

import preceptor as pc

PAIRS = [{"id": f"c{i}", "prompt": f"{SCRIPT} {i}", "response_a": "x", "response_b": "y"} for i in range(30)]


def page_of(result: pc.EstimateResult | pc.AgreementResult | pc.TrajectoriesResult) -> tuple[str, str]:
    """The page, and its words."""
    text = result.report.read_text(encoding="utf-8")
    page = check_page(text)
    assert "<script" not in without_script(text)
    return text, " ".join(" ".join(page.words).split())


@pytest.fixture(scope="module")
def labels() -> pc.LabelResult:
    return pc.label(PAIRS, judges="scripted:random")


def test_an_estimate_has_its_three_shares_and_a_verdict(labels: pc.LabelResult, tmp_path: Path) -> None:
    people = [pair | {"label": "a"} for pair in PAIRS[:12]]
    text, words = page_of(pc.estimate(labels, people=people, sample="random", out=tmp_path / "estimate"))
    assert '"badge better"' in text
    assert "People prefer response a 100%" in words
    assert text.count("<svg") == 1
    for name in ("people and judge", "people alone", "judge alone"):
        assert f'<th scope="row">{name}' in text


def test_an_estimate_with_too_few_labels_measured_nothing(labels: pc.LabelResult, tmp_path: Path) -> None:
    people = [pair | {"label": "a"} for pair in PAIRS[:4]]
    text, words = page_of(pc.estimate(labels, people=people, sample="random", out=tmp_path / "estimate"))
    assert '"badge open">not measured' in text
    assert "at least 10" in words


def test_agreement_is_written_on_request_and_read_back(tmp_path: Path) -> None:
    rated = [pair | {"ratings": ["a", "a", "b"]} for pair in PAIRS[:12]]
    found = pc.agreement(rated, out=tmp_path / "agreement")
    assert pc.AgreementResult.load(tmp_path / "agreement") == found
    text, words = page_of(found)
    assert "Two people agree 33%" in words
    assert 'class="badge' not in text  # nothing is compared
    with pytest.raises(ValueError, match="no folder"):
        pc.agreement(rated).report  # noqa: B018


def test_rankings_stand_row_by_row_the_most_disputed_first(tmp_path: Path) -> None:
    rows = [{"id": "same", "rankings": [[1, 2, 3]] * 3}, {"id": SCRIPT, "rankings": [[1, 2, 3], [3, 2, 1]]}]
    text, words = page_of(pc.agreement(rows, out=tmp_path / "agreement"))
    assert words.index("taken over") < words.index("same 3 3 1.00")
    assert text.count("<tr>") == 1 + 6 + 1 + 2


def acted(*said: str) -> list[dict[str, Any]]:
    turns = [({"role": "assistant", "content": text}, {"role": "user", "content": "no"}) for text in said]
    return [message for turn in turns for message in turn][:-1]


def test_trajectories_have_a_page_in_which_those_that_mislead_can_be_searched(tmp_path: Path) -> None:
    rows = [
        {
            "id": f"t{i}", "prompt": f"task {i}", "response_a": acted(f"try {i}", SCRIPT),
            "response_b": acted("guess", f"stop {i}"), "label": "b" if i % 3 else "a",
        }
        for i in range(9)
    ]  # fmt: skip
    judged = pc.label(rows, judges="scripted:random", steps=True)
    text, words = page_of(pc.trajectories(judged, good_step=1.0, out=tmp_path / "trajectories"))
    assert text.count('<article class="example">') == 5 + 9  # the first five, and all that failed
    assert text.count("<svg") == 1
    assert "Search all 9" in words
    assert (tmp_path / "trajectories/trajectories.md").is_file()
