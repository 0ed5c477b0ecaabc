"""Responses by themselves: what their rows may say, and what becomes of rows that cannot be used."""

import json
from pathlib import Path

import pytest

from preceptor.store.rated_responses import RatedResponse, read_rated_responses


def read(tmp_path: Path, *rows: object, threshold: float | None = None) -> tuple[list[RatedResponse], list[str]]:
    path = tmp_path / "rated.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    rated, left_out = read_rated_responses(path, threshold=threshold)
    return rated, [row.reason for row in left_out]


def test_labels(tmp_path: Path) -> None:
    answered = [{"role": "assistant", "content": "There."}]
    rated, left_out = read(
        tmp_path,
        {"prompt": "Hi", "response": "Hello!", "label": True, "id": 7, "weight": 2, "rater": "x"},
        {"prompt": [{"role": "user", "content": "Hi"}], "completion": answered, "label": False},
        {"prompt": "Hi", "response": "Yes?", "label": 0.75, "score": 3},
    )
    assert left_out == []
    assert [each.desirable for each in rated] == [1.0, 0.0, 0.75]
    assert (rated[0].id, rated[0].weight, rated[0].response.text) == ("7", 2.0, "Hello!")
    assert rated[1].response.text == "There."
    assert rated[1].id != rated[2].id


def test_scores_with_a_threshold(tmp_path: Path) -> None:
    rows = [{"prompt": "Hi", "response": "Hello!", "score": score} for score in (4, 5.0, 6, None)]
    rated, left_out = read(tmp_path, *rows, threshold=5.0)
    assert [each.desirable for each in rated] == [0.0, 1.0, 1.0]
    assert "score" in left_out[0]


@pytest.mark.parametrize(
    ("row", "words"),
    [
        ({"response": "a", "label": True}, "prompt"),
        ({"prompt": "Hi", "label": True}, "response"),
        ({"prompt": "Hi", "response": "a"}, "true, false"),
        ({"prompt": "Hi", "response": "a", "score": 3}, "threshold"),
        ({"prompt": "Hi", "response": "a", "label": "yes"}, "'yes'"),
        ({"prompt": "Hi", "response": "a", "label": 1.5}, "1.5"),
        ({"prompt": "Hi", "response": "a", "label": True, "weight": -1}, "weight"),
        ({"prompt": "Hi", "response": 3, "label": True}, "response"),
    ],
)
def test_a_row_that_cannot_be_used_keeps_its_reason(tmp_path: Path, row: object, words: str) -> None:
    rated, [reason] = read(tmp_path, row)
    assert rated == []
    assert words in reason
