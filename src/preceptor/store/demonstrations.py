"""Demonstrations: prompts with answers to learn, read from the usual kinds of dataset.

A row's columns determine its format; null counts as absent, and unknown columns are ignored:

- `prompt` (a text or messages) with `completion`, `answer` or `reference` (a text, or messages that begin with one of
  the assistant);
- `messages` that end with the assistant's answer: TRL's conversational format, and the `sft.jsonl` of `revise`. What
  follows the last message of the user is learned.

A row of one answer may have `thought`, or its message `reasoning_content`: what a policy that thinks says before the
answer. Several messages, or one with calls of tools, are a trajectory.

Every row may have `id`, `cohort` and `metadata`, and `tools`: the JSON schemas of the tools that the answer could call.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter, ValidationError

from preceptor.core.errors import UsageError
from preceptor.core.types import Conversation, Message, Prompt, Response
from preceptor.core.validation import first_problem
from preceptor.store.preference_row import response_of
from preceptor.store.prompts import parse_prompt, tidy_messages
from preceptor.store.rows import Malformed, Row, read_raw_rows
from preceptor.store.thoughts import WrongThoughtError, apart
from preceptor.store.tools import WrongToolsError, read_tools

ANSWERS = ("completion", "answer", "reference")
"""Columns that may hold the answer; the first that a row has counts."""
_ABOUT = ("id", "cohort", "metadata")
_MESSAGES: TypeAdapter[tuple[Message, ...]] = TypeAdapter(Conversation)


@dataclass(frozen=True)
class Demonstration:
    """A prompt and an answer to learn."""

    prompt: Prompt
    answer: str
    finished: bool = True
    """False if a length limit cut the answer; then no end-of-sequence token is learnt."""
    trajectory: tuple[Message, ...] = ()
    """Every message after the prompt, where the answer is the end of a trajectory; what the assistant wrote is learnt.
    """
    thought: str | None = None
    """What a policy that thinks learns to think before the answer."""

    @property
    def response(self) -> Response:
        """The answer as a response to the prompt."""
        return Response(
            prompt_id=self.prompt.id,
            text=self.answer,
            trajectory=self.trajectory,
            finished=self.finished,
            thought=self.thought,
        )


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
    asked, answered, name = _asked_and_answered(row)
    prompt = parse_prompt({"prompt": asked, **{key: row[key] for key in _ABOUT if key in row}}, "")
    try:
        answered, thought = apart(answered, name, row.get("thought"))
        prompt = prompt.model_copy(update={"tools": read_tools(row.get("tools"))})
    except (WrongThoughtError, WrongToolsError) as error:
        raise _WrongRowError(str(error)) from error
    response = response_of(_messages(answered, name), prompt.id)
    if not response.acts:
        raise _WrongRowError("the answer is empty; expected a text")
    if thought is not None and response.trajectory:
        raise _WrongRowError("a trajectory of several messages cannot have one thought; leave it out")
    return Demonstration(prompt, response.text, trajectory=response.trajectory, thought=thought)


def _asked_and_answered(row: Row) -> tuple[Any, Any, str]:
    """The prompt, the answer, and the name of the answer's column."""
    if "prompt" not in row and "messages" in row:
        messages: Any = row["messages"]
        if not isinstance(messages, list) or len(messages) < 2:
            raise _WrongRowError("messages: expected a list that ends with a user's and an assistant's message")
        users = [i for i, each in enumerate(messages[:-1]) if isinstance(each, dict) and each.get("role") == "user"]
        start = users[-1] + 1 if users else len(messages) - 1
        return messages[:start], messages[start:], "messages"
    column = next((name for name in ANSWERS if name in row), None)
    if "prompt" not in row or column is None:
        columns = ", ".join(f'"{name}"' for name in list(row)[:12]) or "none"
        raise _WrongRowError(
            'expected "messages", or "prompt" with "completion", "answer" or "reference"; '
            f"the columns with a value are {columns}"
        )
    return row["prompt"], row[column], column


def _messages(value: Any, name: str) -> tuple[Message, ...]:
    """The messages of the answer, which is a text or a list of messages that begins with one of the assistant."""
    if isinstance(value, str):
        return (Message(role="assistant", content=value),)
    if not isinstance(value, list):
        raise _WrongRowError(f"{name}: expected a text or messages of the assistant, got {type(value).__name__}")
    try:
        messages = _MESSAGES.validate_python(tidy_messages(value))
    except ValidationError as error:
        raise _WrongRowError(f"{name}: {first_problem(error)}") from error
    if messages[0].role != "assistant" or messages[-1].role == "user":
        raise _WrongRowError(
            f"{name}: expected messages that begin with one by the assistant and do not end with a user's"
        )
    return messages
