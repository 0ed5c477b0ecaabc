"""Whole trajectories: conversations of many turns, with tool calls and their results, as a judge reads them.

A trajectory that does not fit the judge's window is fitted by one rule: messages longer than a limit are shown by
their beginning and their end, with a note of how much is left out between, and the limit is the largest with which
everything fits. No message is dropped, so the plan stays whole, and both trajectories of a comparison have the same
limit. What cannot fit even so is not judged.
"""

import re
from collections.abc import Callable
from typing import TypeVar

from preceptor.core.types import Message, Response
from preceptor.judging.render import message_text, one_line, without_tags

SHORTEST = 60
"""Characters below which no message is shortened."""
LONGEST = 1 << 16
_STEP = re.compile(r"\[\s*step", re.IGNORECASE)
T = TypeVar("T")


def response_text(response: Response, limit: int | None = None) -> str:
    """A response as a judge reads it: its text, or its trajectory step by step.

    Args:
        limit: characters above which a message of a trajectory is shortened; None for none.
    """
    if not response.trajectory:
        return response.text
    return "\n".join(step_text(number, m, limit) for number, m in enumerate(response.trajectory, start=1))


def step_text(number: int, message: Message, limit: int | None = None) -> str:
    """One message of a trajectory under its number and its speaker."""
    name = one_line(without_steps(message.name or "")) if message.role == "tool" else ""  # perhaps the agent's words
    speaker = f"tool {name}" if name else message.role
    # The steps' own mark is neutralised with the other tags where this text is put into its place.
    return f"[Step {number}, {speaker}]\n{shortened(without_steps(message_text(message)), limit)}"


def without_steps(text: str) -> str:
    """The text with its own uses of the step mark made harmless: nothing inside a message can begin another."""
    return _STEP.sub(lambda match: match[0].replace("[", "("), without_tags(text))


def shortened(text: str, limit: int | None) -> str:
    """The text, or its beginning and end with a note of what is left out between them, where that is shorter."""
    if limit is None or len(text) <= limit:
        return text
    head = limit * 2 // 3
    tail = limit - head
    cut = f"{text[:head]} [... {len(text) - limit} characters left out ...] {text[len(text) - tail :]}"
    return cut if len(cut) < len(text) else text


def fit(whole: Callable[[int | None], T], tokens: Callable[[T], int], window: int | None) -> T:
    """What `whole` makes with the largest limit that fits the window; with the shortest one where none does.

    Args:
        whole: builds a question with messages of at most so many characters; None leaves them whole.
        tokens: length of a question.
        window: tokens that the judge can read; None where it is not known.
    """
    built = whole(None)
    if window is None or tokens(built) <= window:
        return built
    low, high = SHORTEST, LONGEST
    while low < high:  # the largest limit that fits, or SHORTEST
        middle = (low + high + 1) // 2
        if tokens(whole(middle)) <= window:
            low = middle
        else:
            high = middle - 1
    return whole(low)
