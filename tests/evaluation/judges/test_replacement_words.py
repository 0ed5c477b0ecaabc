"""What an audit says of whether judges may replace people, in its table and on its page."""

from pathlib import Path
from typing import Any

from preceptor.core.progress import Silence
from preceptor.results.audit import AuditResult
from preceptor.tasks.audit import audit

NAMES = ["Ada", "Ben", "Cy"]


def rows(**more: Any) -> list[dict[str, Any]]:
    """Ada and Ben say what the judge that takes the first says half of the time; Cy never agrees with them."""
    return [
        {"prompt": f"question {i}", "response_a": f"answer {i}", "response_b": f"other {i}"}
        | {"ratings": ["a", "a", "b"] if i % 2 else ["b", "b", "a"]}
        | more
        for i in range(40)
    ]


def audited(data: list[dict[str, Any]], folder: Path) -> AuditResult:
    return audit(data, judges=["scripted:random"], out=folder, progress=Silence())


def test_the_verdict_is_in_the_table_on_the_page_and_in_the_file(tmp_path: Path) -> None:
    result = audited(rows(raters=NAMES), tmp_path / "audit")
    test = result.judges[0].replacement
    assert test is not None
    assert [each.annotator for each in test.annotators] == NAMES
    [said] = [note for note in result.table().notes if "ε 0.20" in note]
    assert "experts" in said
    assert "of 3" in said
    page = result.report.read_text()
    assert 'id="replacement"' in page
    assert all(name in page for name in NAMES)
    assert AuditResult.load(result.path).judges[0].replacement == test
    assert not any("no names" in note for note in result.table().notes)


def test_people_without_names_are_said_to_have_none(tmp_path: Path) -> None:
    result = audited(rows(), tmp_path / "audit")
    assert any("no names" in note for note in result.table().notes)
    strange = audited(rows(raters=3), tmp_path / "strange")  # a column that means something else
    assert strange.judges[0].replacement == result.judges[0].replacement


def test_nothing_is_said_where_nothing_was_tested(tmp_path: Path) -> None:
    result = audited([row | {"ratings": ["a"]} for row in rows()], tmp_path / "audit")
    assert result.judges[0].replacement is None
    assert not any("replace" in note for note in result.table().notes)
    assert 'id="replacement"' not in result.report.read_text()
