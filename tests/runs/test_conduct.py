"""What a run says of its judge: by the labels it gave, and by its scores of held-out responses."""

from typing import Any

import pytest

from preceptor.evaluation.checkpoints.snapshot import MeasuredResponse, Snapshot
from preceptor.judging.warnings import Count, JudgeWarning
from preceptor.runs.conduct import run_warnings

CALLS = Count(hits=0, n=400, prompts=400)


def snapshot(**changed: Any) -> Snapshot:
    """Twenty prompts with two responses each, of which the shorter one and the longer one win in turn."""
    rows = [
        MeasuredResponse(
            prompt_id=f"p{i // 2}",
            cohort="c",
            prompt="q",
            text="x" * (3 + i % 2),
            tokens=4,
            finished=True,
            kl=0.0,
            judge_score=1.0 if (i % 2) == (i // 2 % 2) else -1.0,
            choice_mass=0.9,
            heldout_score=0.0,
        )
        for i in range(40)
    ]
    return Snapshot(step=0, responses=tuple(r.model_copy(update=changed) for r in rows), references=())


def longer_wins(snapshot: Snapshot) -> Snapshot:
    rows = [r.model_copy(update={"judge_score": float(len(r.text))}) for r in snapshot.responses]
    return snapshot.model_copy(update={"responses": tuple(rows)})


@pytest.mark.parametrize(
    ("before", "calls", "kind", "said"),
    [
        (snapshot(), CALLS, "log_odds", []),
        (snapshot(choice_mass=0.02), CALLS, "log_odds", ["choice_mass"]),
        (snapshot(judge_score=0.1), CALLS, "log_odds", ["near_half"]),  # sigmoid(0.1) is 0.525
        (snapshot(judge_score=0.1), CALLS, "expectation", []),  # on a scale of its own
        (longer_wins(snapshot()), CALLS, "expectation", ["length"]),
        (snapshot(), Count(hits=20, n=400, prompts=400), "log_odds", ["failures"]),
        (snapshot(choice_mass=None, judge_score=None), Count(hits=20, n=400, prompts=400), None, ["failures"]),
    ],
)
def test_each_kind_that_applies_to_scores(before: Snapshot, calls: Count, kind: Any, said: list[str]) -> None:
    found = run_warnings(None, before, before, calls, kind)
    assert [warning.kind for warning in found] == said
    assert all(warning.sentence.startswith("The judge ") for warning in found)


def test_warnings_of_the_runs_labels_are_the_runs() -> None:
    position = JudgeWarning(kind="position", sentence="J keeps to a position")
    found = run_warnings([position], snapshot(), snapshot(), CALLS, "log_odds")
    assert [warning.sentence for warning in found] == ["J keeps to a position"]
    assert run_warnings([], snapshot(), snapshot(), CALLS, "log_odds") == []  # labels of an earlier version
