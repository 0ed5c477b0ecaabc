"""Thoughts beside answers in rows: read, written, and absent where there are none."""

import json
from pathlib import Path
from typing import Any

import pytest

from conftest import prompt
from preceptor.core.errors import UsageError
from preceptor.core.types import Comparison, Response
from preceptor.store.comparisons import ComparisonRow, comparisons_in
from preceptor.store.demonstrations import read_demonstrations
from preceptor.store.responses import ResponseRow, read_responses
from preceptor.store.rows import Malformed
from preceptor.store.thoughts import inline


def compared(**row: Any) -> Comparison:
    [read] = comparisons_in("place", {"prompt": "2 + 2?", **row})
    assert isinstance(read, ComparisonRow), read
    return read.comparison


def said(text: str, **more: Any) -> list[dict[str, Any]]:
    return [{"role": "assistant", "content": text, **more}]


@pytest.mark.parametrize(
    "row",
    [
        {"response_a": "4", "thought_a": "so 4", "response_b": "5"},
        {"response_a": said("4", reasoning_content="so 4"), "response_b": said("5", reasoning_content=None)},
        {"response_a": said("4", reasoning_content="so 4"), "thought_a": "so 4", "response_b": "5"},
    ],
)
def test_a_thought_is_read_from_its_column_or_from_the_message(row: dict[str, Any]) -> None:
    found = compared(**row)
    assert [(r.text, r.thought) for r in (found.a, found.b)] == [("4", "so 4"), ("5", None)]
    assert found.id == compared(response_a="4", response_b="5").id


def test_thoughts_of_chosen_and_rejected_stay_with_them() -> None:
    plain = compared(chosen="4", rejected="5")
    found = compared(chosen="4", rejected="5", chosen_thought="so 4", rejected_thought="so 5")
    assert {r.text: r.thought for r in (found.a, found.b)} == {"4": "so 4", "5": "so 5"}
    assert [r.content_hash for r in (found.a, found.b)] == [r.content_hash for r in (plain.a, plain.b)]


@pytest.mark.parametrize(
    ("row", "word"),
    [
        ({"response_a": said("4", reasoning_content="x"), "thought_a": "y", "response_b": "5"}, "two thoughts"),
        ({"response_a": "4", "thought_a": 3, "response_b": "5"}, "int"),
        ({"response_a": [*said("4"), *said("5")], "thought_a": "x", "response_b": "5"}, "trajectory"),
    ],
)
def test_a_thought_that_cannot_be_one_is_told(row: dict[str, Any], word: str) -> None:
    [read] = comparisons_in("place", {"prompt": "2 + 2?", **row})
    assert isinstance(read, Malformed)
    assert word in read.reason


def test_responses_are_written_with_thoughts_and_read_back(tmp_path: Path) -> None:
    asked, path = prompt("2 + 2?"), tmp_path / "responses.jsonl"
    given = [Response(prompt_id=asked.id, text="4", thought="so 4"), Response(prompt_id=asked.id, text="4")]
    rows = [ResponseRow.of("mine", asked, response).wire() for response in given]
    assert [row.get("thought") for row in rows] == ["so 4", None]
    assert "thought" not in rows[1]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    [(_, read)] = read_responses(path)
    assert [response.thought for response in read] == ["so 4", None]
    path.write_text(json.dumps(rows[0] | {"thought": 4}))
    with pytest.raises(UsageError, match=r"responses\.jsonl.*int"):
        read_responses(path)


def test_demonstrations_have_thoughts(tmp_path: Path) -> None:
    path = tmp_path / "demonstrations.jsonl"
    asked = {"role": "user", "content": "2 + 2?"}
    rows = [
        {"prompt": "2 + 2?", "completion": "4", "thought": "so 4"},
        {"messages": [asked, *said("4", reasoning_content="so 4")]},
        {"prompt": "2 + 2?", "completion": "4"},
    ]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    read, left_out = read_demonstrations(path)
    assert [(d.answer, d.thought, d.response.thought) for d in read] == [("4", "so 4", "so 4")] * 2 + [
        ("4", None, None)
    ]
    assert left_out == []


@pytest.mark.parametrize(
    ("text", "thought", "answer"),
    [
        ("<think>so 4</think>4", "so 4", "4"),
        ("\n<think>\nso 4\n</think>\n\n4</think><think>", "so 4", "4</think><think>"),
        ("4 <think>so</think>", None, "4 <think>so</think>"),  # a thought comes first
        ("<think>so 4", None, "<think>so 4"),
        ("4", None, "4"),
    ],
)
def test_a_text_may_begin_with_its_thought(text: str, thought: str | None, answer: str) -> None:
    assert inline(text) == (thought, answer)
