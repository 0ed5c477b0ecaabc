"""Demonstrations from every shape of row."""

import json
import re
from pathlib import Path
from typing import Any

import pytest

from preceptor.core.errors import UsageError
from preceptor.store.demonstrations import Demonstration, read_demonstrations

USER = {"role": "user", "content": "q"}
ASSISTANT = {"role": "assistant", "content": "a"}


def read(path: Path, *rows: Any) -> tuple[list[Demonstration], list[str]]:
    file = path / "rows.jsonl"
    file.write_text("".join((row if isinstance(row, str) else json.dumps(row)) + "\n" for row in rows))
    return read_demonstrations(file)


@pytest.mark.parametrize(
    "row",
    [
        {"prompt": "q", "reference": "a"},
        {"prompt": "q", "answer": "a", "id": None, "unknown": 3},
        {"prompt": "q", "completion": "a"},
        {"prompt": [USER], "completion": [ASSISTANT]},
        {"messages": [USER, ASSISTANT]},
        {"prompt": None, "messages": [{**USER, "tool_calls": None}, ASSISTANT]},
    ],
)
def test_all_shapes_are_one(tmp_path: Path, row: dict[str, Any]) -> None:
    [found], left_out = read(tmp_path, row)
    assert [(m.role, m.content) for m in found.prompt.conversation] == [("user", "q")]
    assert (found.answer, found.finished, left_out) == ("a", True, [])


def test_the_last_answer_of_a_conversation_is_learnt(tmp_path: Path) -> None:
    system = {"role": "system", "content": "s"}
    [found], _ = read(tmp_path, {"messages": [system, USER, ASSISTANT, USER, {**ASSISTANT, "content": "b"}]})
    assert [m.role for m in found.prompt.conversation] == ["system", "user", "assistant", "user"]
    assert found.answer == "b"


def test_ids_and_cohorts_are_kept_and_the_completion_goes_before_the_reference(tmp_path: Path) -> None:
    [found], _ = read(tmp_path, {"prompt": "q", "reference": "r", "completion": "c", "id": 7, "cohort": "x"})
    assert (found.prompt.id, found.prompt.cohort, found.prompt.reference, found.answer) == ("7", "x", None, "c")


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ("{", "not a line of JSON"),
        ({"prompt": "q"}, 'expected "messages", or "prompt" with .*the columns with a value are "prompt"'),
        ({"answer": "a"}, 'expected "messages", or "prompt" with'),
        ({"prompt": "", "answer": "a"}, "a message of the user that is not empty"),
        ({"prompt": "q", "answer": "  "}, "the answer is empty"),
        ({"prompt": "q", "answer": 3}, "answer: expected a text or one message of the assistant, got int"),
        ({"prompt": "q", "completion": [ASSISTANT, ASSISTANT]}, "completion: expected .* got a list of 2"),
        ({"prompt": "q", "completion": [USER]}, "completion: expected its last message to be a text by the assistant"),
        ({"messages": [ASSISTANT]}, "messages: expected a list that ends with a user's and an assistant's message"),
        ({"messages": [USER, USER]}, "messages: expected its last message to be a text by the assistant"),
        ({"messages": [USER, ASSISTANT, ASSISTANT]}, "a prompt ends with a message of the user"),
        (
            {"messages": [USER, {"role": "tool", "content": "t"}, USER, ASSISTANT]},
            "prompt: tool calls cannot be learnt from yet",
        ),
    ],
)
def test_a_malformed_row_is_skipped_and_said(tmp_path: Path, row: Any, reason: str) -> None:
    found, [left_out] = read(tmp_path, {"prompt": "q", "answer": "a"}, row, {"prompt": "r", "answer": "b"})
    assert [each.answer for each in found] == ["a", "b"]
    assert left_out.startswith(f"{tmp_path}/rows.jsonl:2: ")
    assert re.search(reason, left_out)


def test_a_missing_file_is_the_user_s_mistake(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"none\.jsonl: cannot be read"):
        read_demonstrations(tmp_path / "none.jsonl")
