"""Benchmarks of step judges are read in the shapes in which their authors publish them."""

from pathlib import Path
from typing import Any

import published
from preceptor.store.benchmarks.steps import NONE, StepRow, step_rows
from preceptor.store.rows import Malformed


def test_processbench(tmp_path: Path) -> None:
    path = published.write_list(tmp_path / "gsm8k.json", published.PROCESSBENCH)
    rows = [row for row in step_rows(path, "processbench") if isinstance(row, StepRow)]
    assert [(row.subset, row.first_error) for row in rows] == [("gsm8k", 1), ("gsm8k", NONE), ("math", 0)]
    assert [message.content for message in rows[0].response.trajectory] == ["Add 1 and 1.", "That is 3.", "Answer: 3."]
    assert len(rows[2].response.trajectory) == 1  # a solution of one step has steps too
    assert len(list(step_rows(path, "processbench", limit=2))) == 2


def test_prm800k_ends_at_the_first_wrong_step(tmp_path: Path) -> None:
    path = published.write_lines(tmp_path / "phase2_test.jsonl", published.PRM800K)
    found, solved, given_up = step_rows(path, "prm800k")
    assert isinstance(found, StepRow)
    assert isinstance(solved, StepRow)
    assert found.first_error == 1
    assert [message.content for message in found.response.trajectory] == ["Factor it.", "So it is 7."]
    assert found.prompt.text == "What is the greatest factor?"
    assert solved.first_error == NONE
    assert [message.content for message in solved.response.trajectory] == ["Second try.", "By hand."]
    assert isinstance(given_up, Malformed)
    assert "give_up" in given_up.reason


def test_a_row_of_another_shape_says_what_was_expected(tmp_path: Path) -> None:
    good = published.PROCESSBENCH[0]
    wrong: list[tuple[dict[str, Any], str]] = [
        (good | {"label": 3}, "first wrong step is 3"),
        (good | {"label": "none"}, "label: expected"),
        (good | {"steps": []}, "steps: expected a list"),
        ({"problem": "x"}, 'no "label"'),
        (good | {"problem": " "}, "not empty"),
    ]
    path = published.write_lines(tmp_path / "rows.jsonl", [row for row, _ in wrong])
    for row, (_, says) in zip(step_rows(path, "processbench"), wrong, strict=True):
        assert isinstance(row, Malformed)
        assert says in row.reason
