"""Demonstrations: prompts with answers to learn, read from the usual kinds of dataset.

A row's columns determine its format; null counts as absent, and unknown columns are ignored:

- `prompt` (a text or messages) with `completion`, `answer` or `reference` (a text, or one message of the assistant);
- `messages` that end with the assistant's answer: TRL's conversational format, and the `sft.jsonl` of `revise`.

Every row may have `id`, `cohort` and `metadata`.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from preceptor.core.errors import UsageError
from preceptor.core.types import Prompt
from preceptor.store.prompts import parse_prompt, tidy_messages
from preceptor.store.rows import Malformed, Row, read_raw_rows

ANSWERS = ("completion", "answer", "reference")
"""Columns that may hold the answer; the first that a row has counts."""
_ABOUT = ("id", "cohort", "metadata")


@dataclass(frozen=True)
class Demonstration:
    """A prompt and an answer to learn."""

    prompt: Prompt
    answer: str
    finished: bool = True
    """False if a length limit cut the answer; then no end-of-sequence token is learnt."""


class _WrongRowError(ValueError):
    """Says on one line what is wrong with a row, and what was expected."""


def read_demonstrations(path: Path) -> tuple[list[Demonstration], list[str]]:
    """Reads the demonstrations of a dataset in any format that `read_raw_rows` reads.

    Returns: the demonstrations, and the place of each row that was left out with the reason.
    Raises: UsageError when the dataset cannot be read.
    """
    demonstrations: list[Demonstration] = []
    left_out: list[str] = []
    for place, row in read_raw_rows(path):
        if isinstance(row, Malformed):
            left_out.append(f"{place}: {row.reason}")
            continue
        try:
            demonstrations.append(_demonstration({key: value for key, value in row.items() if value is not None}))
        except (_WrongRowError, UsageError) as error:
            left_out.append(f"{place}: {str(error).removeprefix(': ')}")
    return demonstrations, left_out


def _demonstration(row: Row) -> Demonstration:
    asked, answer = _asked_and_answered(row)
    prompt = parse_prompt({"prompt": asked, **{key: row[key] for key in _ABOUT if key in row}}, "")
    if any(message.role == "tool" or message.tool_calls for message in prompt.conversation):
        raise _WrongRowError("prompt: tool calls cannot be learnt from yet; expected messages of text")
    if not answer.strip():
        raise _WrongRowError("the answer is empty; expected a text")
    return Demonstration(prompt, answer)


def _asked_and_answered(row: Row) -> tuple[Any, str]:
    if "prompt" not in row and "messages" in row:
        messages: Any = row["messages"]
        if not isinstance(messages, list) or len(messages) < 2:
            raise _WrongRowError("messages: expected a list that ends with a user's and an assistant's message")
        return messages[:-1], _text(messages[-1:], "messages")
    column = next((name for name in ANSWERS if name in row), None)
    if "prompt" not in row or column is None:
        columns = ", ".join(f'"{name}"' for name in list(row)[:12]) or "none"
        raise _WrongRowError(
            'expected "messages", or "prompt" with "completion", "answer" or "reference"; '
            f"the columns with a value are {columns}"
        )
    return row["prompt"], _text(row[column], column)


def _text(value: Any, name: str) -> str:
    """The answer, which is a text or a list of one message of the assistant."""
    if isinstance(value, str):
        return value
    messages = tidy_messages(value)
    if not isinstance(messages, list) or len(messages) != 1 or not isinstance(messages[0], dict):
        raise _WrongRowError(f"{name}: expected a text or one message of the assistant, got {_kind(messages)}")
    message: dict[str, Any] = messages[0]
    if message.get("role") != "assistant" or message.get("tool_calls") or not isinstance(message.get("content"), str):
        raise _WrongRowError(f"{name}: expected its last message to be a text by the assistant")
    return str(message["content"])


def _kind(value: Any) -> str:
    return f"a list of {len(value)}" if isinstance(value, list) else type(value).__name__
