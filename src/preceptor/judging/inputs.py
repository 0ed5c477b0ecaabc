"""Converts prompts and responses from a caller's form (texts, messages or types) for a judge."""

from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias, cast

from preceptor.core.errors import UsageError
from preceptor.core.types import Comparison, Message, Prompt, Response
from preceptor.store.columns import WrongRowError
from preceptor.store.comparisons import comparison_id, parse_response
from preceptor.store.prompts import parse_prompt

PromptLike: TypeAlias = "str | Sequence[Mapping[str, Any] | Message] | Prompt"
"""A user's message as text, a conversation that ends with one, or a `Prompt`."""
ResponseLike: TypeAlias = "str | Sequence[Mapping[str, Any] | Message] | Response"
"""A response as text, as the messages after the prompt, or a `Response`."""
_SHOWN = 80
"""Characters of a faulty item that an error shows."""


def comparison(prompt: PromptLike, a: ResponseLike, b: ResponseLike) -> Comparison:
    """A comparison with the id that it would have in a dataset.

    Raises: UsageError for a malformed prompt or response.
    """
    asked = as_prompt(prompt)
    one, other = as_response(a, asked, "a"), as_response(b, asked, "b")
    return Comparison(id=comparison_id(asked, one, other), prompt=asked, a=one, b=other)


def prompt_and_response(prompt: PromptLike, response: ResponseLike) -> tuple[Prompt, Response]:
    """Converts a prompt and a response to it into their types.

    Raises: UsageError for a malformed prompt or response.
    """
    asked = as_prompt(prompt)
    return asked, as_response(response, asked, "response")


def as_prompt(prompt: PromptLike) -> Prompt:
    """A prompt from a text or messages; its id is a hash of its content.

    Raises: UsageError when it is empty or does not end with the user's turn.
    """
    if isinstance(prompt, Prompt):
        return prompt
    return parse_prompt({"prompt": prompt if isinstance(prompt, str) else _plain(prompt, "prompt")}, "prompt")


def with_rubrics(prompts: Sequence[PromptLike], columns: Mapping[str, Sequence[Any]]) -> list[Prompt]:
    """The prompts with the rubrics and references that stand in columns beside them, where there are any.

    Raises: UsageError for a malformed prompt or rubric.
    """
    return [_with_rubric(prompt, columns, number) for number, prompt in enumerate(prompts)]


def _with_rubric(prompt: PromptLike, columns: Mapping[str, Sequence[Any]], number: int) -> Prompt:
    if isinstance(prompt, Prompt):
        return prompt
    beside = {name: columns[name][number] for name in ("rubric", "reference") if name in columns}
    about = {name: value for name, value in beside.items() if value is not None}
    asked = prompt if isinstance(prompt, str) else _plain(prompt, "prompt")
    return parse_prompt({"prompt": asked} | about, f"prompt {number + 1}")


def as_response(response: ResponseLike, prompt: Prompt, name: str) -> Response:
    """A response to the prompt from a text or messages.

    Raises: UsageError beginning with `name`.
    """
    if isinstance(response, Response):
        return response if response.prompt_id == prompt.id else response.model_copy(update={"prompt_id": prompt.id})
    try:
        return parse_response(response if isinstance(response, str) else _plain(response, name), name, prompt, None)
    except WrongRowError as error:
        raise UsageError(str(error)) from error


def _plain(messages: Sequence[Mapping[str, Any] | Message], name: str) -> list[Any]:
    if isinstance(messages, Mapping) or not isinstance(messages, Sequence):  # pyright: ignore[reportUnnecessaryIsInstance]
        raise UsageError(f"{name}: expected a text or a list of messages, got {type(messages).__name__}")
    return [message.wire() if isinstance(message, Message) else message for message in messages]


def parts_of(item: object, parts: str, count: int, number: int) -> tuple[Any, ...]:
    """The parts of one of many items, such as a prompt with its response.

    Args:
        parts: what is expected, in words.
        number: of the item, from 1.

    Raises: UsageError when it is not a tuple or list of so many.
    """
    if not isinstance(item, tuple | list) or len(cast("Sequence[Any]", item)) != count:
        raise UsageError(f"item {number}: expected a tuple of {parts}, got {str(item)[:_SHOWN]!r}")
    return tuple(cast("Sequence[Any]", item))
