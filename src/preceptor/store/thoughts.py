"""Thoughts beside answers in rows: in a column of their own, or in the assistant's message as servers give them."""

from typing import Any

from preceptor.core.types import JsonObject

FIELD = "reasoning_content"
"""Where chat templates, TRL and servers have the thought of a message of the assistant."""


class WrongThoughtError(ValueError):
    """What is wrong with a thought, on one line."""


def apart(value: Any, name: str, thought: Any = None) -> tuple[Any, str | None]:
    """An answer as it stands in a row, and its thought.

    Args:
        value: a text or messages. The thought of one message by the assistant is taken out of it; messages of a
            trajectory are left as they are.
        thought: of the column that the row has for it; None if there is none.

    Raises: WrongThoughtError whose message begins with `name`.
    """
    own: Any = None
    if isinstance(value, list) and len(value) == 1 and isinstance(value[0], dict):
        message: JsonObject = value[0]
        own, value = message.get(FIELD), [{key: field for key, field in message.items() if key != FIELD}]
    if own is not None and thought is not None and own != thought:
        raise WrongThoughtError(f"{name}: has two thoughts, one in its message and one in a column")
    found = thought if own is None else own
    if found is not None and not isinstance(found, str):
        raise WrongThoughtError(f"{name}: expected its thought as a text, got {type(found).__name__}")
    return value, found


def inline(text: str) -> tuple[str | None, str]:
    """Thought and answer of a text that begins with a thought between `<think>` tags; None if there is none."""
    opened, tag, rest = text.partition("<think>")
    thought, end, answer = rest.partition("</think>")
    return (None, text) if opened.strip() or not tag or not end else (thought.strip(), answer.lstrip())
