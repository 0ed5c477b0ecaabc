"""Whole trajectories against what succeeded, and step scores against the whole, on rows worked out by hand."""

from typing import Any

import pytest

from preceptor.evaluation.intervals import Estimate
from preceptor.evaluation.policies.trajectories import TrajectoryPair, trajectory_findings, trajectory_pair
from preceptor.store.preference_row import PreferenceRow


def acted(*said: str) -> list[dict[str, Any]]:
    """Steps of the assistant with a tool's result after each but the last."""
    messages: list[dict[str, Any]] = []
    for text in said:
        messages += [{"role": "assistant", "content": text}, {"role": "tool", "name": "sh", "content": "ok"}]
    return messages[:-1]


def row(
    name: str,
    p_chosen: float,
    scores_chosen: tuple[float | None, list[float | None]] | None = None,
    scores_rejected: tuple[float | None, list[float | None]] | None = None,
    human: float | None = 1.0,
    **changes: Any,
) -> PreferenceRow:
    """A row as `label --steps` writes it: scores of the whole and of the steps, and the label for the chosen."""
    columns: dict[str, Any] = {
        "id": name,
        "prompt_id": f"prompt {name}",
        "cohort": "shell",
        "prompt": [{"role": "user", "content": "Do it."}],
        "chosen": acted(f"{name} think", "done", "checked"),
        "rejected": acted(f"{name} give", "up"),
        "chosen_policy": "new",
        "rejected_policy": "old",
        "chosen_is": "a",
        "p_chosen": p_chosen,
        "human_p_chosen": human,
        "verdicts": [{"order": "ab", "p_a": p_chosen}, {"order": "ba", "p_a": p_chosen}],
        "chosen_score": scores_chosen and scores_chosen[0],
        "chosen_steps": scores_chosen and scores_chosen[1],
        "rejected_score": scores_rejected and scores_rejected[0],
        "rejected_steps": scores_rejected and scores_rejected[1],
        **changes,
    }
    return PreferenceRow.read(columns, name)


def pair(row: PreferenceRow, success: tuple[bool | None, bool | None] | None = None) -> TrajectoryPair:
    found = trajectory_pair(row, success)
    assert found is not None
    return found


ROWS = [
    row("1", 0.9, (8.0, [6.0, 8.0]), (3.0, [7.0, 9.0])),  # right; the rejected one's steps are all good
    row("2", 0.6, (4.0, [5.0]), (6.0, [5.0]), human=0.0),  # wrong, and so is the lowest step: equal
    row("3", 0.5, (2.0, [9.0, 8.0]), (4.0, [2.0]), human=1.0),  # undecided; succeeded, though the whole scores 2
    row("4", 0.8, (9.0, [9.0, None]), (None, [1.0]), human=0.5),  # nobody says which
]


def test_what_prefers_the_one_that_succeeded() -> None:
    found = trajectory_findings([pair(each) for each in ROWS], plain=2, failures={"no_answer": 1})
    assert (found.pairs, found.plain, found.one_succeeded, found.failures) == (4, 2, 3, {"no_answer": 1})
    shares = {each.by: (each.share.value, each.share.n) for each in found.agreement}
    assert shares == {
        "the comparison": (pytest.approx((1 + 0 + 0.5) / 3), 3),
        "the score of the whole": (pytest.approx((1 + 1 + 0) / 3), 3),
        "the mean step score": (pytest.approx((0 + 0.5 + 1) / 3), 3),
        "the lowest step score": (pytest.approx((0 + 0.5 + 1) / 3), 3),
        "more characters": (pytest.approx((1 + 0 + 1) / 3), 3),
    }
    assert found.agreement_by_cohort == {}
    assert [(r.policy, r.against, r.cohort, r.wins, r.ties, r.losses) for r in found.win_rates] == [
        ("old", "new", None, 0, 1, 3)
    ]


def test_good_steps_of_a_plan_that_failed_are_shown() -> None:
    found = trajectory_findings([pair(each) for each in ROWS])
    assert found.all_steps_good == 2  # the rejected one of row 1, and the chosen one of row 3, which succeeded
    [misled] = found.misled
    assert (misled.prompt_id, misled.policy, misled.score, misled.steps) == ("prompt 1", "old", 3.0, (7.0, 9.0))
    assert misled.succeeded is False
    assert misled.text == "[Step 1, assistant]\n1 give\n[Step 2, tool sh]\nok\n[Step 3, assistant]\nup"
    assert found.unscored == 2  # a failed step, a failed whole
    assert trajectory_findings([pair(each) for each in ROWS], good_step=7.5).all_steps_good == 1


def test_a_low_whole_counts_as_failed_where_nothing_better_is_known() -> None:
    poor = pair(row("1", 0.9, (4.9, [9.0]), (5.0, [9.0]), human=None))
    [misled] = trajectory_findings([poor]).misled
    assert (misled.succeeded, misled.score) == (None, 4.9)
    assert trajectory_findings([pair(row("1", 0.9, (4.9, [9.0]), (5.0, [9.0])), (True, True))]).misled == ()


def test_scores_by_outcome() -> None:
    found = {each.outcome: each for each in trajectory_findings([pair(each) for each in ROWS]).scores}
    assert {name: each.trajectories for name, each in found.items()} == {"succeeded": 3, "failed": 3, "unknown": 2}
    assert value(found["succeeded"].whole) == pytest.approx((8 + 6 + 2) / 3)
    assert value(found["succeeded"].steps) == pytest.approx((7 + 5 + 8.5) / 3)
    assert value(found["unknown"].whole) == 9.0
    assert value(found["unknown"].steps) == 1.0  # the steps of which one failed have no mean


def value(estimate: Estimate | None) -> float:
    assert estimate is not None
    return estimate.value


def test_success_from_outside_goes_before_the_label_and_follows_the_places() -> None:
    swapped = row("1", 0.9, chosen_is="b")
    assert pair(swapped).successful == "b"  # the label is for the chosen one
    assert pair(swapped, (True, False)).successful == "a"
    assert pair(swapped, (True, False)).judged.p_a == pytest.approx(0.1)
    assert pair(swapped, (True, False)).a.policy == "old"
    assert pair(swapped, (True, True)).successful is None
    assert pair(swapped, (None, False)).successful is None


def test_a_trajectory_counts_once_and_contradicting_labels_say_nothing_of_success() -> None:
    same: dict[str, Any] = {"prompt_id": "p", "chosen": acted("x", "y"), "rejected": acted("z")}
    better = pair(row("1", 0.9, (8.0, [8.0]), (2.0, [8.0]), **same))
    other: dict[str, Any] = same | {"chosen": acted("w", "v"), "rejected": acted("x", "y")}
    worse = pair(row("2", 0.9, (8.0, [8.0]), (9.0, [8.0]), **other))
    found = trajectory_findings([better, worse])
    assert {each.outcome: each.trajectories for each in found.scores} == {"succeeded": 1, "failed": 1, "unknown": 1}
    assert [each.score for each in found.misled] == [2.0]


def test_plain_answers_and_rows_without_scores() -> None:
    plain = [{"role": "assistant", "content": "42"}]
    assert trajectory_pair(row("1", 0.9, chosen=plain, rejected=plain)) is None
    mixed = pair(row("1", 0.9, chosen=plain))
    assert mixed.a.text == "42"
    found = trajectory_findings([mixed])
    assert (found.scores, found.unscored, found.misled) == ((), 0, ())
    assert [each.by for each in found.agreement] == ["the comparison", "more characters"]


def test_position_bias_and_cohorts() -> None:
    torn = [{"order": "ab", "p_a": 0.9}, {"order": "ba", "p_a": 0.3}]
    rows = [row("1", 0.6, verdicts=torn), row("2", 0.6, cohort="web")]
    found = trajectory_findings([pair(each) for each in rows])
    assert found.position_bias == 0.5
    assert {name: share.value for name, share in found.agreement_by_cohort.items()} == {"shell": 1.0, "web": 1.0}
    assert [rate.cohort for rate in found.win_rates] == [None, "shell", "web"]


def test_columns_of_a_parquet_file_hold_nulls() -> None:
    filled = [{**message, "tool_calls": None, "tool_call_id": None} for message in acted("1 give", "up")]
    assert pair(row("1", 0.9, rejected=filled)).b == pair(row("1", 0.9)).b
