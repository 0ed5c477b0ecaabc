"""`preceptor evaluate` by the rubrics of prompts: win rates from scores, and which items each policy meets."""

from pathlib import Path
from typing import Any

import pytest

from preceptor.core.errors import UsageError
from preceptor.core.progress import Silence
from preceptor.core.types import Prompt
from preceptor.judging.specs import JudgeSpec
from preceptor.results.evaluation import EvaluationResult
from preceptor.store.prompts import parse_prompt
from preceptor.tasks.evaluate.evaluate import evaluate
from preceptor.tasks.evaluate.rubrics import can_judge
from small import Told

BY_RUBRIC = JudgeSpec(model="scripted:random", variant="rubric")
ITEMS: list[Any] = [
    {
        "criterion": "Has at most three words.",
        "points": 2,
        "tags": ["format"],
        "check": {"verifier": "words", "most": 3},
    },
    {"criterion": "Shouts.", "points": -1, "tags": ["tone"], "check": {"verifier": "contains", "any": ["!"]}},
]
"""Checked by code alone, so that every number is known."""


def prompts(without: int | None = None) -> list[Prompt]:
    rows: list[dict[str, Any]] = [
        {"id": f"q{i}", "prompt": f"question {i}", "cohort": "ab"[i % 2]} | ({} if i == without else {"rubric": ITEMS})
        for i in range(24)
    ]
    return [parse_prompt(row, "test") for row in rows]


def judged(out: Path, **more: Any) -> EvaluationResult:
    policies = {"wordy": ["far too many words!"] * 24, "brief": ["a few words"] * 24}
    given: dict[str, Any] = {"judge": BY_RUBRIC, "prompts": prompts(), "out": out, **more}
    return evaluate(policies, **given, progress=Silence())


def test_win_rates_scores_and_items_by_cohort_and_tag(tmp_path: Path) -> None:
    """The brief policy has 2 of 2 points, the wordy one 0 - 1 of 2, which counts as 0."""
    result = judged(tmp_path / "out")
    assert result.win_rate is not None and result.win_rate.rate.value == 1.0
    means = {
        (rate.measure, rate.policy): rate.value.value
        for rate in result.rates
        if rate.cohort is None and rate.measure.startswith("rubric")
    }
    assert means["rubric score", "brief"] == 1.0
    assert means["rubric score", "wordy"] == 0.0
    assert means["rubric items, format", "wordy"] == 0.0
    changes = {(change.measure, change.cohort): change for change in result.changes}
    tone = changes["rubric items, tone", "a"]
    assert (tone.before.value, tone.after.value, tone.change.n) == (0.0, 1.0, 12)
    assert tone.verdict == "improved"
    assert tone.change.low is not None and tone.change.low > 0
    assert ("rubric item: avoids: Shouts.", "b") in changes
    assert "rubric items, tone" in (tmp_path / "out/report.html").read_text()
    assert result.judge.constitution == "the prompts' rubrics"


def test_a_prompt_without_a_rubric_is_named_before_anything_is_asked(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match='"q7" has no rubric'):
        judged(tmp_path / "out", prompts=prompts(without=7))
    assert not list(tmp_path.rglob("*.sqlite"))


def test_a_training_judge_by_rubrics_is_not_asked_about_prompts_without() -> None:
    told = Told()
    assert can_judge(BY_RUBRIC, prompts(), told) == BY_RUBRIC
    assert can_judge(BY_RUBRIC, prompts(without=3), told) is None
    assert "1 of 24" in told.notes[0]
    other = JudgeSpec(model="scripted:random")
    assert can_judge(other, prompts(without=3), told) == other
