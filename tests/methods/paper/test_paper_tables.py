"""The tables of the paper that need only judges, with scripted ones."""

from pathlib import Path

import pytest

from paper_small import write_preferences
from preceptor.core.errors import UsageError
from preceptor.core.progress import Silence
from preceptor.methods.paper.asking import as_in_the_paper, asked, ways_of
from preceptor.methods.paper.numbers import ALIGNMENT
from preceptor.methods.paper.reproduce import reproduce
from preceptor.methods.paper.scales import SCALES
from preceptor.results.reproduction import ReproductionResult
from preceptor.store.ledger import Ledger


def _run(tmp_path: Path, *tables: str, judges: tuple[str, ...] = ("scripted:first",)) -> ReproductionResult:
    data = tmp_path / "data"
    if not data.exists():
        write_preferences(data, "helpful", "harmless")
    return reproduce(tables=tables, data=data, judges=judges, out=tmp_path / "out", progress=Silence())


def test_the_ways_of_the_paper() -> None:
    assert as_in_the_paper("detailed+cot") == "Detailed + CoT 0-shot"
    assert as_in_the_paper("base+2-shot") == "Base 2-shot"
    assert set(ways_of(SCALES["paper"])) == ALIGNMENT.keys()
    assert asked("scripted:first", "summaries", SCALES["tiny"]).way == "detailed+cot, rationale_tokens=32"


def test_alignment_has_a_row_for_each_task_and_prompt_beside_the_papers(tmp_path: Path) -> None:
    result = _run(tmp_path, "alignment")
    table = result["alignment"]
    rows = {row.cells: row for row in table.findings.rows}
    base = rows["helpful", "Base 0-shot"]
    assert base.paper == 0.678
    assert base.ours is not None
    assert base.ours.value == 0.5  # the first position always wins, so both orders cancel
    assert base.verdict == "within chance"
    assert rows["harmless", "Base 2-shot"].paper == 0.721
    assert not any(task == "summaries" for task, _ in rows)
    assert any("summaries/preferences.jsonl" in note for note in table.findings.notes)
    assert any("position" in warning for warning in table.findings.warnings)
    page, text = result.report.read_text(), (result.path / "report.md").read_text()
    for written in (page, text):
        assert "Detailed + CoT 0-shot" in written
        assert "within chance" in written
        assert "67.8%" in written


def test_a_finished_table_is_not_judged_again(tmp_path: Path) -> None:
    first = _run(tmp_path, "alignment")
    ledger = first.path / "audits" / "helpful" / "ledger.sqlite"
    with Ledger(ledger) as calls:
        asked_before = calls.totals().calls
    (first.path / "audits" / "helpful" / "audit.json").unlink()
    again = _run(tmp_path, "alignment")
    assert again.tables == first.tables
    assert not (first.path / "audits" / "helpful" / "audit.json").exists()
    (first.path / "tables" / "alignment" / "table.json").unlink()  # as if killed before it was written
    assert _run(tmp_path, "alignment")["alignment"].findings == first["alignment"].findings
    with Ledger(ledger) as calls:
        assert calls.totals().calls == asked_before


def test_another_judge_needs_another_folder(tmp_path: Path) -> None:
    _run(tmp_path, "alignment")
    with pytest.raises(UsageError, match="judges"):
        _run(tmp_path, "alignment", judges=("scripted:random",))


def test_a_wrong_name_or_folder_is_said(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match='did you mean "alignment"'):
        _run(tmp_path, "alingment")
    with pytest.raises(UsageError, match=r"helpful/preferences\.jsonl"):
        reproduce(data=tmp_path)
    with pytest.raises(UsageError, match='no scale "huge"'):
        reproduce(data=tmp_path / "data", scale="huge")
