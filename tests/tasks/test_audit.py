"""`preceptor audit` from a file to its JSON and report, on scripted judges."""

import json
import re
import shutil
from pathlib import Path
from typing import Any

import pytest

from preceptor.core.errors import UsageError
from preceptor.core.progress import Silence
from preceptor.core.types import Message, Prompt
from preceptor.judging import bias_correction, calibration
from preceptor.judging.judge import Judge
from preceptor.judging.learnt import write_learnt
from preceptor.judging.specs import JudgeSpec
from preceptor.results.audit import AuditResult
from preceptor.tasks.audit import audit
from preceptor.tasks.label import label
from rows import read
from small import Told

KEYS = {
    *("judge", "constitution", "n", "alignment", "alignment_ci", "single_order_alignment", "position_bias"),
    *("first_position_rate", "longer_preferred_rate", "longer_baseline", "kappa", "ece", "brier", "failure_rate"),
    *("labels_per_s", "tokens_per_label", "cost_per_1000"),
}
# a is the longer response in half of the rows; people prefer a in every row but the last ten.
ROWS: list[dict[str, Any]] = [
    {
        "prompt": f"question {i}",
        "response_a": f"answer {i}" + (" and more" if i % 2 else ""),
        "response_b": f"other {i} yes",
        "label": "a" if i < 30 else "b",
        "category": "early" if i < 20 else "late",
    }
    for i in range(40)
]


JUDGES = (JudgeSpec(model="scripted:random"), JudgeSpec(model="scripted:first", variant="base"))


@pytest.fixture
def people(tmp_path: Path) -> Path:
    path = tmp_path / "people.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in ROWS))
    return path


def audited(people: Path, **settings: Any) -> AuditResult:
    given: dict[str, Any] = {"judges": JUDGES, "out": people.parent / "out", "progress": Silence()}
    return audit(people, **(given | settings))


def test_the_json_has_every_measure_and_every_pair_of_judges(people: Path) -> None:
    folder = audited(people).path
    result = json.loads((folder / "audit.json").read_text())
    random, first = result["judges"]
    assert random.keys() >= KEYS
    # The judge that prefers whatever stands first: right in one order exactly where people prefer a, else undecided.
    assert first["position_bias"] == 1.0
    assert first["first_position_rate"] == 1.0
    assert first["alignment"] == 0.5
    assert first["single_order_alignment"] == 30 / 40
    assert first["undecided"] == 40
    assert first["cost_per_1000"] == 0.0
    assert [warning["kind"] for warning in first["warnings"]] == ["position", "near_half"]
    assert result["usable"] == []  # neither is better than chance
    assert random["failure_rate"] == 0.0
    assert set(random["by_category"]) == {"early", "late"}
    [pair] = result["comparisons"]
    assert (pair["judge_1"], pair["judge_2"], pair["n"]) == ("scripted:random", "scripted:first", 40)
    assert "<html" in (folder / "report.html").read_text()
    judged = [json.loads(line) for line in (folder / "judgements.jsonl").read_text().splitlines()]
    assert len(judged) == 80
    assert all(row["human_p_chosen"] in (0.0, 1.0) for row in judged)


def test_a_second_call_asks_nothing_and_says_the_same(people: Path) -> None:
    first, second = audited(people), audited(people)
    for one, other in zip(first.judges, second.judges, strict=True):
        assert one.labels_per_s is not None
        assert one.labels_per_s > 0
        assert other.labels_per_s is None
        assert one.model_copy(update={"labels_per_s": None}) == other
    assert AuditResult.load(first.path) == second


def test_an_ensemble_is_one_judge_more(people: Path) -> None:
    result = audited(people, ensemble=True)
    random, _, both = result.judges
    assert both.judge == "ensemble of all"
    assert both.alignment == random.alignment  # the other one's preference is 0.5 throughout
    assert both.spec is None
    assert len(result.comparisons) == 3


def test_a_judge_is_found_by_itself_its_specification_or_its_name(people: Path) -> None:
    random, first = Judge("scripted:random", variant="detailed"), Judge("scripted:first", variant="base")
    result = audited(people, judges=[random, first])
    one, other = result.judges
    assert result[random] is result[random.spec] is result["scripted:random"] is one
    assert result[JudgeSpec(model="scripted:random")] is one
    assert result[first] is result[other.label] is other
    assert one.alignment is not None
    assert one.alignment.low is not None
    assert one.alignment.low < one.alignment.value
    with pytest.raises(KeyError, match="no judge"):
        result[Judge("scripted:first")]
    with pytest.raises(KeyError, match="2 judges"):
        audited(people, judges=[random, Judge("scripted:random", variant="base")], out=None)["scripted:random"]


def test_none_is_recommended_where_none_is_fit_for_use(people: Path) -> None:
    result = audited(people)
    assert result.recommended is None
    assert result.reason.startswith("Use none of these 2 judges")
    assert any("keeps to a position" in warning for warning in result.warnings)


def test_the_judge_that_agrees_with_people_is_recommended(people: Path, tmp_path: Path) -> None:
    rows = [row | {"label": "tie"} for row in ROWS]
    spec = JudgeSpec(model="scripted:random")
    verdicts = read(audited(people, judges=spec, out=tmp_path / "first").path / "judgements.jsonl")
    for row, verdict in zip(rows, verdicts, strict=True):
        row["label"] = verdict["chosen_is"]
    result = audit(rows, judges=[spec, "scripted:first"], out=tmp_path / "second", progress=Silence())
    assert result.recommended == spec
    alignment = result[spec].alignment
    assert alignment is not None
    assert alignment.value == 1.0
    assert "scripted:random" in result.reason


def test_the_table_fits_80_columns(people: Path) -> None:
    result = audited(people)
    lines = result.table().text(80).split("\n")
    assert max(map(len, lines[:-1])) <= 80  # the last line is the path of the report
    [head] = [line for line in lines if "aligned" in line and "failed" in line]
    assert head.split() == ["judge", "n", "aligned", "95%", "1", "order", "bias", "first", "longer", "failed"]
    [random] = [line for line in lines if line.startswith("scripted:random") and "[" in line]
    assert random.split()[1] == "40"


def test_rows_in_memory_are_audited_in_a_temporary_folder() -> None:
    result = audit(ROWS, judges="scripted:first", progress=Silence())
    assert result["scripted:first"].undecided == 40
    assert (result.path / "report.html").is_file()


def test_audits_of_an_earlier_version_are_read(people: Path) -> None:
    result = audited(people)
    path = result.path / "audit.json"
    written = json.loads(path.read_text())
    alignment = result.judges[0].alignment
    assert alignment is not None
    assert written["judges"][0]["alignment_ci"] == [alignment.low, alignment.high]
    for judge in written["judges"]:
        del judge["spec"]
    path.write_text(json.dumps(written))
    earlier = AuditResult.load(result.path)
    assert earlier["scripted:random"].alignment == result.judges[0].alignment
    assert earlier.recommended is None


def test_a_saved_calibration_is_used_by_label_and_refused_for_another_judge(people: Path, tmp_path: Path) -> None:
    saved = tmp_path / "calibrations" / "random.json"
    audited(people, judges=JUDGES[:1], save_calibration=saved, out=tmp_path / "alone")
    slope = calibration.load(saved).slope
    assert 0 <= slope < 0.5  # the judge knows nothing
    spec = JudgeSpec(model="scripted:random", calibration=str(saved))
    labels = label(people, judges=spec, out=tmp_path / "labels", progress=Silence())
    rows = read(tmp_path / "labels" / "preferences.jsonl")
    raw = [abs(sum(v["p_a"] for v in row["verdicts"]) / 2 - 0.5) for row in rows]
    assert sum(row["p_chosen"] - 0.5 for row in rows) < sum(raw)
    assert json.loads(rows[0]["settings"])["calibration"] == calibration.load(saved).hash
    assert labels.rater.settings["calibration"] == calibration.load(saved).hash
    other = JudgeSpec(model="scripted:first", calibration=str(saved))
    with pytest.raises(UsageError, match="fitted on a judge whose model"):
        label(people, judges=other, out=tmp_path / "no", progress=Silence())
    with pytest.raises(UsageError, match="for one judge"):
        audited(people, save_calibration=saved)


def test_rows_without_people_are_not_audited(people: Path) -> None:
    row = {"prompt": "q", "response_a": "x", "response_b": "y"}
    with people.open("a") as stream:
        stream.write(json.dumps(row) + "\n")
    assert audited(people).judges[0].rows == 40
    with pytest.raises(UsageError, match=r'people\.jsonl:41: no "label"'):
        audited(people, strict=True)
    people.write_text(json.dumps(row) + "\n")
    with pytest.raises(UsageError, match='no "label"'):
        audited(people, out=people.parent / "none")
    assert not (people.parent / "none").exists()


def test_an_audit_keeps_a_log(tmp_path: Path) -> None:
    rows = [{"prompt": f"private {i}", "response_a": "x", "response_b": "yes", "label": "a"} for i in range(20)]
    audit(rows, judges=["scripted:first", "scripted:random"], out=tmp_path / "audit", progress=Silence())
    first = (tmp_path / "audit/log.txt").read_text()
    audit(rows, judges=["scripted:first", "scripted:random"], out=tmp_path / "audit", progress=Silence())
    log = (tmp_path / "audit/log.txt").read_text()
    assert log.startswith(first)
    assert log.count("audit begun") == log.count("audit done") == 2
    assert "scripted:random" in log
    assert re.search(r" \d+ calls, none failed, .* tokens, \$0\.00", log)
    assert "private" not in log
    with pytest.raises(UsageError, match="begun with other rows"):
        audit(rows[1:], judges="scripted:first", out=tmp_path / "audit", progress=Silence())
    assert (tmp_path / "audit/log.txt").read_text() == log


def test_an_audit_says_what_moves_a_judge_in_excess_of_people(people: Path) -> None:
    result = audited(people, judges="scripted:first")
    [judge] = result.judges
    position, length, *_ = judge.biases
    assert (position.feature, position.beyond_chance, length.feature) == ("position", True, "length")
    assert position.excess is not None
    assert position.excess.value > 1.0
    assert length.judge is not None  # in both orders together, it is undecided
    assert length.judge.value == pytest.approx(0.0, abs=1e-3)
    assert any("being shown first" in str(note) for note in result.table().notes)
    assert 'id="excess"' in result.report.read_text()
    assert AuditResult.load(result.path).judges[0].biases == judge.biases


def test_nothing_rests_on_what_a_judge_was_taught(people: Path, tiny_folder: Path, tmp_path: Path) -> None:
    taught = shutil.copytree(tiny_folder, tmp_path / "taught")
    seen = Prompt(id="q", conversation=(Message(role="user", content=ROWS[1]["prompt"]),))
    write_learnt(taught, [seen], "embedded")
    for name in ("save_calibration", "save_bias", "licence"):
        with pytest.raises(UsageError, match=f"{name}: a judge was taught on the prompts of 1 of"):
            audited(people, judges=str(taught), **{name: tmp_path / "made.toml"})
    judges = ["scripted:random", str(taught)]
    with pytest.raises(UsageError, match="cascade: a judge was taught"):
        audited(people, judges=judges, cascade=True)
    result = audited(people, judges=judges, ensemble=True, limit=4)
    assert [judge.learnt_rows for judge in result.judges] == [0, 1, 1]


def test_what_a_judge_prefers_in_excess_is_saved_for_training(people: Path) -> None:
    """Of "scripted:first", nothing but the position is in excess, which is in no text."""
    path = people.parent / "made" / "bias.json"
    told = Told()
    audited(people, judges="scripted:first", save_bias=path, progress=told)
    saved = bias_correction.load(path)
    assert (saved.judge, saved.preference, saved.score, saved.prompts) == ("scripted:first", {}, None, 40)
    assert any("takes off nothing" in note for note in told.notes)
    plain, corrected = Judge("scripted:first"), Judge("scripted:first", bias=path)
    both = audited(people, judges=[plain, corrected], out=people.parent / "both")
    assert [both[judge].variant for judge in (plain, corrected)] == ["detailed", "detailed, bias-corrected"]
    with pytest.raises(UsageError, match="save_bias is for one judge"):
        audited(people, save_bias=path)
    path.write_text("{}")
    with pytest.raises(UsageError, match="not a bias correction"):
        audited(people, judges="scripted:first", save_bias=path)
