"""From people's labels to a cascade in a file, and from the file to labels."""

from pathlib import Path
from typing import Any

import pytest

from preceptor.core.errors import UsageError
from preceptor.core.progress import Silence
from preceptor.judging.cascade import load
from preceptor.judging.specs import JudgeSpec
from preceptor.results.audit import AuditResult
from preceptor.tasks.audit import audit
from preceptor.tasks.label import label, plan_label
from rows import read, write

CHEAP = JudgeSpec(model="scripted:random", variant="base")
STRONG = JudgeSpec(model="scripted:random", variant="detailed")
LOW = 0.62  # below this confidence, people are not of the cheap judge's opinion


def questions(count: int, word: str = "question") -> list[dict[str, Any]]:
    return [{"prompt": f"{word} {i}", "response_a": f"answer {i}", "response_b": f"other {i}"} for i in range(count)]


def opinions(judge: JudgeSpec, rows: list[dict[str, Any]]) -> list[float]:
    return [row.p_a for row in label(rows, judges=judge, progress=Silence())]


@pytest.fixture(scope="module")
def labelled() -> list[dict[str, Any]]:
    """People say what the cheap judge says where it is sure, and otherwise what the strong one says."""
    rows = questions(200)
    said = zip(rows, opinions(CHEAP, rows), opinions(STRONG, rows), strict=True)
    return [
        {**row, "label": "a" if (cheap if max(cheap, 1 - cheap) >= LOW else strong) > 0.5 else "b"}
        for row, cheap, strong in said
    ]


@pytest.fixture(scope="module")
def audited(labelled: list[dict[str, Any]], tmp_path_factory: pytest.TempPathFactory) -> AuditResult:
    path = tmp_path_factory.mktemp("audit")
    return audit(
        labelled, judges=[CHEAP, STRONG], out=path / "out", save_cascade=path / "cascade.json", progress=Silence()
    )


def file_of(audited: AuditResult) -> Path:
    return audited.path.parent / "cascade.json"


def test_the_audit_says_what_the_cascade_guarantees_and_saves(audited: AuditResult) -> None:
    cascade = audited.cascade
    assert cascade is not None
    assert cascade.labels == 100
    assert cascade.thresholds is not None
    assert all(cascade.thresholds)
    assert cascade.use is not None
    assert cascade.use.agreement is not None
    assert cascade.use.agreement.value > 0.8
    assert 0 < cascade.use.escalated.value < 1
    assert "80%" in str(audited)
    assert 'id="cascade"' in (audited.path / "report.html").read_text()
    assert AuditResult.load(audited.path).cascade == cascade
    assert load(file_of(audited)).agreement == 0.8


def test_labels_by_the_cascade_say_who_answered(audited: AuditResult, tmp_path: Path) -> None:
    """The strong judge is asked only about what the cheap one leaves; what neither may answer is for people."""
    rows, cascade = questions(60, "another question"), load(file_of(audited))
    labels = label(rows, judges=file_of(audited), out=tmp_path / "out", to_people=3, progress=Silence())
    cheap, strong = (step.threshold for step in cascade.steps)
    sure = [max(p, 1 - p) for p in opinions(CHEAP, rows)]
    left = [max(p, 1 - p) for p, s in zip(opinions(STRONG, rows), sure, strict=True) if s < cheap]
    unsure = sum(p < strong for p in left)
    assert len(labels) == 60 - unsure
    assert labels.counts.failures_by_reason == ({"unsure": unsure} if unsure else {})
    assert labels.calls_in_this_process == 2 * (60 + len(left))
    assert sum('"preamble":"base"' in row.settings for row in labels) == sum(s >= cheap for s in sure)
    assert all(cascade.hash in row.settings for row in labels)
    assert labels.for_people == 3
    abstained = [failure.id for failure in labels.failures]
    assert [row["id"] for row in read(tmp_path / "out" / "for_people.jsonl")][: len(abstained)] == abstained[:3]


def test_abstaining_is_no_failure_that_stops_a_labelling(audited: AuditResult, tmp_path: Path) -> None:
    """A threshold of 1 leaves everything to people."""
    cascade = load(file_of(audited))
    steps = [step.model_dump(mode="json") | {"threshold": 1.0} for step in cascade.steps]
    path = tmp_path / "cascade.json"
    path.write_text(type(cascade).model_validate(cascade.model_dump(mode="json") | {"steps": steps}).model_dump_json())
    labels = label(questions(30), judges=path, progress=Silence())
    assert (len(labels), labels.counts.failures) == (0, 30)
    assert labels.warnings == ()


def test_a_plan_says_the_worst_case_and_what_the_audit_expects(audited: AuditResult) -> None:
    assert audited.cascade is not None
    assert audited.cascade.use is not None
    plan = plan_label(questions(100), judges=file_of(audited), progress=Silence())
    assert plan.calls == 400
    assert plan.expected_calls == round(200 + 200 * audited.cascade.use.escalated.value)
    assert str(plan.expected_calls) in str(plan)
    assert plan_label(questions(10), judges=CHEAP, progress=Silence()).expected_calls is None


def test_nothing_is_written_where_nothing_is_certified(labelled: list[dict[str, Any]], tmp_path: Path) -> None:
    path = tmp_path / "cascade.json"
    few = audit(labelled[:20], judges=[CHEAP, STRONG], save_cascade=path, progress=Silence())
    assert few.cascade is not None
    assert few.cascade.thresholds is None
    assert not path.exists()


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"judges": [CHEAP], "cascade": True}, "two judges"),
        ({"judges": [CHEAP, STRONG], "cascade": True, "agreement": 1.0}, "agreement = 1"),
        ({"judges": [CHEAP, STRONG], "cascade": True, "certainty": 0.0}, "certainty = 0"),
    ],
)
def test_what_cannot_be_a_cascade(labelled: list[dict[str, Any]], settings: dict[str, Any], said: str) -> None:
    with pytest.raises(UsageError, match=said):
        audit(labelled, progress=Silence(), **settings)


def test_an_audit_measures_single_judges(audited: AuditResult, labelled: list[dict[str, Any]]) -> None:
    with pytest.raises(UsageError, match="single judges"):
        audit(labelled, judges=file_of(audited), progress=Silence())


def test_a_cascade_is_not_written_over_another_file(labelled: list[dict[str, Any]], tmp_path: Path) -> None:
    notes = write(tmp_path / "notes.jsonl", [{"a": 1}])
    with pytest.raises(UsageError, match="not replaced"):
        audit(labelled, judges=[CHEAP, STRONG], save_cascade=notes, progress=Silence())
