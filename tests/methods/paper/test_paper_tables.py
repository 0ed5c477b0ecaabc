"""The tables of the paper that need only judges, with scripted ones."""

from pathlib import Path

import pytest

from paper_small import WORDS, write_preferences
from preceptor.core.errors import UsageError
from preceptor.core.progress import Silence
from preceptor.methods.paper.asking import as_in_the_paper, asked, ways_of
from preceptor.methods.paper.numbers import ALIGNMENT
from preceptor.methods.paper.reproduce import reproduce
from preceptor.methods.paper.scales import SCALES
from preceptor.results.audit import AuditResult
from preceptor.results.reproduction import ReproductionResult
from preceptor.results.reward_model import RewardModelResult
from preceptor.store.ledger import Ledger


def _run(
    tmp_path: Path, *tables: str, judges: tuple[str, ...] = ("scripted:first",), tasks: tuple[str, ...] = ("helpful",)
) -> ReproductionResult:
    data = tmp_path / "data"
    if not data.exists():
        write_preferences(data, *tasks)
    return reproduce(tables=tables, data=data, judges=judges, out=tmp_path / "out", progress=Silence())


def test_the_ways_of_the_paper() -> None:
    assert as_in_the_paper("detailed+cot") == "Detailed + CoT 0-shot"
    assert as_in_the_paper("base+2-shot") == "Base 2-shot"
    assert set(ways_of(SCALES["paper"])) == ALIGNMENT.keys()
    assert asked("scripted:first", "summaries", SCALES["tiny"]).way == "detailed+cot, rationale_tokens=24"


def test_alignment_has_a_row_for_each_task_and_prompt_beside_the_papers(tmp_path: Path) -> None:
    result = _run(tmp_path, "alignment", tasks=("helpful", "harmless"))
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
    first = _run(tmp_path, "labeller_size")
    ledger = first.path / "audits" / "helpful" / "ledger.sqlite"
    with Ledger(ledger) as calls:
        asked_before = calls.totals().calls
    (first.path / "audits" / "helpful" / "audit.json").unlink()
    again = _run(tmp_path, "labeller_size")
    assert again.tables == first.tables
    assert not (first.path / "audits" / "helpful" / "audit.json").exists()
    (first.path / "tables" / "labeller_size" / "table.json").unlink()  # as if killed before it was written
    assert _run(tmp_path, "labeller_size")["labeller_size"].findings == first["labeller_size"].findings
    with Ledger(ledger) as calls:
        assert calls.totals().calls == asked_before


def test_another_judge_needs_another_folder(tmp_path: Path) -> None:
    _run(tmp_path, "labeller_size")
    with pytest.raises(UsageError, match="judges"):
        _run(tmp_path, "labeller_size", judges=("scripted:random",))


def test_a_wrong_name_or_folder_is_said(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match='did you mean "alignment"'):
        _run(tmp_path, "alingment")
    with pytest.raises(UsageError, match=r"helpful/preferences\.jsonl"):
        reproduce(data=tmp_path)
    with pytest.raises(UsageError, match='no scale "huge"'):
        reproduce(data=tmp_path / "data", scale="huge")


def test_the_first_position_always_wins(tmp_path: Path) -> None:
    """`scripted:first` keeps to the first position: both orders cancel, and one order is right by chance of the row."""
    result = _run(tmp_path, "position_bias", "single_order", "labeller_size")
    shares = {row.cells: row for row in result["position_bias"].findings.rows}
    same, first = shares["scripted:first", "all pairs"].ours, shares["scripted:first", "these, the first"].ours
    assert same is not None
    assert first is not None
    assert (same.value, first.value) == (1.0, 1.0)
    assert shares["PaLM 2 XS", "all pairs"].paper == 0.56
    orders = {row.cells[1]: row for row in result["single_order"].findings.rows}
    one, both, difference = (orders[what].ours for what in ("one order", "both orders", "difference"))
    assert one is not None
    assert both is not None
    assert difference is not None
    assert one.value == 0.0  # the response that people prefer is always b
    assert both.value == 0.5
    assert difference.value == 0.5
    assert orders["difference"].verdict == "above chance"
    sizes = result["labeller_size"].findings
    assert [row.cells[0] for row in sizes.rows] == ["scripted:first", "PaLM 2 L", "PaLM 2 S", "PaLM 2 XS"]
    assert sizes.rows[1].verdict == ""
    assert any("helpful" in note for note in sizes.notes)  # which stands in for summaries
    assert [len(new) for new, _ in result.warnings.values()] == [2, 0, 0]  # each warning is shown once
    assert [bool(above) for _, above in result.warnings.values()] == [False, True, True]
    assert result.report.read_text().count("hardly tells responses apart") == 1
    assert str(result).count("hardly tells") == 1


def test_self_consistency_and_cost(tmp_path: Path) -> None:
    result = _run(tmp_path, "self_consistency", "cost", judges=("scripted:random",))
    rows = {row.cells: row for row in result["self_consistency"].findings.rows}
    assert rows["1", "greedy"].paper == 0.78
    assert rows.keys() == {("1", "greedy"), ("2", "1")}
    cost = {row.cells: row for row in result["cost"].findings.rows}
    tokens = cost["scripted:random", "tokens"].ours
    assert tokens is not None
    assert tokens.value == 2  # one token for each order
    assert cost["scripted:random", "dollars"].verdict == "not measured"
    assert cost["people, as the paper says", "dollars"].paper_in_words == "$0.67"


def test_all_tables_share_one_audit_for_each_task(tmp_path: Path) -> None:
    result = _run(tmp_path, "labeller_size", "self_consistency", "position_bias")
    audit = AuditResult.load(result.path / "audits" / "helpful")
    assert len(audit.judges) == 2  # one greedy rationale, two sampled ones
    later = _run(tmp_path, "single_order")
    assert [table.name for table in later.done] == [
        "self_consistency",
        "labeller_size",
        "position_bias",
        "single_order",
    ]


def test_reward_models_learn_either_labels_and_are_measured_on_people(tmp_path: Path, tiny_folder: Path) -> None:
    words = [f"{word}{n}" for word in WORDS for n in range(2)]
    data = write_preferences(tmp_path / "data", "helpful", words=words)
    result = reproduce(
        tables=["reward_accuracy", "reward_labels"],
        data=data,
        policy=tiny_folder,
        judges=["scripted:random", "scripted:first"],
        out=tmp_path / "out",
        progress=Silence(),
    )
    rows = {row.cells: row for row in result["reward_accuracy"].findings.rows}
    assert rows.keys() == {("helpful", "people"), ("helpful", "labeller")}
    held_out = len((tmp_path / "out/data/helpful/held_out.jsonl").read_text().splitlines())
    assert all(row.ours is not None and row.ours.n == held_out for row in rows.values())
    sources = [RewardModelResult.load(folder).by_source for folder in (tmp_path / "out/rewards").iterdir()]
    trained_on = len((tmp_path / "out/data/helpful/training.jsonl").read_text().splitlines())
    assert sorted(sources, key=str) == [{"ai": trained_on}] * 2 + [{"human": trained_on}]
    *_, smallest = by_labels = result["reward_labels"].findings.rows
    assert [row.paper for row in by_labels] == [0.742, 0.779, 0.664]
    assert smallest.verdict == "not measured"  # it keeps to a position, so each of its labels is a tie
    assert "tie" in smallest.remark


def test_a_table_without_its_data_says_what_it_needs(tmp_path: Path) -> None:
    result = _run(tmp_path, "labeller_size", "reward_initialisation")
    table = result["reward_initialisation"]
    assert table.status == "not run"
    assert "TASK/demonstrations.jsonl" in table.needs
    for text in (str(result), result.report.read_text(), (result.path / "report.md").read_text()):
        assert "Not run: needs" in text
    assert ReproductionResult.load(result.path) == result
