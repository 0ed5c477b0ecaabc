"""An audit of rubrics from rows to a result, on a scripted judge."""

import json
from pathlib import Path
from typing import Any

import pytest

from preceptor.core.errors import UsageError
from preceptor.core.progress import Silence
from preceptor.results.rubrics import RubricAuditResult
from preceptor.tasks.rubrics.audit import audit_rubrics

WORDS = [{"criterion": "Has two words.", "points": 2, "check": {"verifier": "words", "least": 2}}]
"""An item that code checks, so that the numbers do not depend on a judge."""


def row(i: int, label: str, **more: Any) -> dict[str, Any]:
    return {"prompt": f"q{i}", "response_a": "two words", "response_b": "one", "label": label, "rubric": WORDS} | more


def audited(rows: list[dict[str, Any]], **settings: Any) -> RubricAuditResult:
    return audit_rubrics(rows, judge="scripted:random", progress=Silence(), **settings)


def test_agreement_and_discrimination(tmp_path: Path) -> None:
    result = audited([*(row(i, "a") for i in range(6)), *(row(i, "b") for i in range(6, 8))], out=tmp_path / "out")
    assert (result.prompts, result.responses, result.verdicts, result.failed) == (8, 16, 16, 0)
    assert result.agreement is not None and (result.agreement.value, result.agreement.n) == (0.75, 8)
    assert result.separates is not None and result.separates.value == 1.0
    assert (result.share_met, result.variance) == (0.5, 0.25)
    [item] = result.items
    assert item.agreement is not None and item.agreement.value == 0.75
    assert result.ledger.calls == 0  # code alone
    assert result.order is None
    lines = [json.loads(line) for line in (tmp_path / "out" / "judgements.jsonl").read_text().splitlines()]
    assert [line["score"] for line in lines[:2]] == [1.0, 0.0]
    assert lines[1]["items"] == [{"criterion": "Has two words.", "points": 2.0, "met": 0.0}]
    assert RubricAuditResult.load(tmp_path / "out").model_dump() == result.model_dump()
    assert "75%" in str(result) and "Has two words." in str(result.item_table())


def test_a_response_in_several_rows_is_judged_once() -> None:
    result = audited([row(0, "a"), row(0, "a", response_b="another one"), row(0, "b")])
    assert (result.prompts, result.responses, result.labelled) == (1, 3, 3)


def test_rows_without_a_rubric_are_left_out_and_counted() -> None:
    result = audited([row(0, "a"), row(1, "a", rubric=None), {"prompt": "q"}])
    assert (result.without_rubric, result.malformed, result.labelled) == (1, 1, 1)
    with pytest.raises(UsageError, match="rubric"):
        audited([row(0, "a", rubric=None)])


def test_rubrics_from_another_file_replace_those_of_the_rows() -> None:
    other = [{"prompt": "q0", "rubric": [{"criterion": "Is one word.", "check": {"verifier": "words", "most": 1}}]}]
    result = audited([row(0, "a"), row(1, "a")], rubrics=other)
    assert result.agreement is not None and (result.agreement.value, result.agreement.n) == (0.0, 1)
    assert result.without_rubric == 1


def test_what_was_written_with_responses_in_view_is_warned_of() -> None:
    [seen] = [{**WORDS[0], "tags": ["written from contrast"]}]
    result = audited([row(0, "a", rubric=[seen])])
    assert result.written_from_responses == 1
    assert "too high" in str(result)
    assert audited([row(0, "a")]).warnings == ()


def test_in_one_call_items_are_shown_in_both_orders() -> None:
    rubric = [{"criterion": f"Names {word}."} for word in ("alpha", "beta", "gamma", "delta")]
    rows = [row(i, "a", rubric=rubric) for i in range(4)]
    result = audited(rows, settings={"criteria": "one_call", "failed_items": "leave_out"})
    assert result.ledger.calls == 16  # 8 responses, twice
    order = result.order
    assert order is not None and 0.0 <= order.changed.value <= 1.0 and order.changed.n <= 32
    assert "reversed" in str(result)


def test_an_implicit_score_has_no_items_to_measure() -> None:
    with pytest.raises(UsageError, match="implicit"):
        audited([row(0, "a")], settings={"aggregation": "implicit"})


def test_a_verifier_that_cannot_be_used_is_refused_before_any_call() -> None:
    with pytest.raises(UsageError, match="lest"):
        audited([row(0, "a", rubric=[{"criterion": "c", "check": {"verifier": "words", "lest": 2}}])])
