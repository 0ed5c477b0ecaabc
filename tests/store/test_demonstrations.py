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


def test_what_follows_the_last_message_of_the_user_is_a_trajectory(tmp_path: Path) -> None:
    call = {
        "role": "assistant",
        "content": None,
        "tool_calls": [{"id": "1", "function": {"name": "f", "arguments": {}}}],
    }
    acted = [call, {"role": "tool", "tool_call_id": "1", "content": "t"}, {**ASSISTANT, "content": "b"}]
    rows = ({"messages": [USER, ASSISTANT, USER, *acted]}, {"prompt": "q", "completion": acted[:2]})
    (whole, cut), left_out = read(tmp_path, *rows)
    assert [m.role for m in whole.prompt.conversation] == ["user", "assistant", "user"]
    assert [m.role for m in whole.trajectory] == ["assistant", "tool", "assistant"]
    assert whole.trajectory[0].tool_calls[0].function.arguments == "{}"
    assert [(each.answer, len(each.trajectory)) for each in (whole, cut)] == [("b", 3), ("", 2)]
    assert left_out == []


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
        ({"prompt": "q", "answer": 3}, "answer: expected a text or messages of the assistant, got int"),
        ({"prompt": "q", "completion": []}, "completion: "),
        ({"prompt": "q", "completion": [{"role": "assistant", "content": 3}]}, "completion: .*content"),
        ({"prompt": "q", "completion": [USER]}, "completion: expected messages that begin with one by the assistant"),
        ({"prompt": "q", "completion": [ASSISTANT, USER]}, "do not end with a user's"),
        ({"messages": [ASSISTANT]}, "messages: expected a list that ends with a user's and an assistant's message"),
        ({"messages": [USER, USER]}, "messages: expected messages that begin with one by the assistant"),
        ({"messages": [ASSISTANT, ASSISTANT]}, "a prompt ends with a message of the user"),
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
