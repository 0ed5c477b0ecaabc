"""Whole trajectories: conversations of many turns, with tool calls and their results, as a judge reads them.

A trajectory that does not fit the judge's window is shortened: of messages longer than a limit, only the beginning and
the end are shown, with a note of how much is left out between. The limit is the largest with which everything fits. No
message is dropped, so the plan stays visible, and both trajectories of a comparison have the same limit. A trajectory
that still does not fit is not judged.
"""

import re
from collections.abc import Callable
from typing import TypeVar

from preceptor.core.types import Message, Response
from preceptor.judging.render import message_text, one_line, without_tags

SHORTEST = 60
"""Messages with fewer characters are never shortened."""
LONGEST = 1 << 16
_STEP = re.compile(r"\[\s*step", re.IGNORECASE)
T = TypeVar("T")


def response_text(response: Response, limit: int | None = None) -> str:
    """A response as a judge reads it: its text, or its trajectory step by step.

    Args:
        limit: characters above which a message of a trajectory is shortened; None for no limit.
    """
    if not response.trajectory:
        return response.text
    return "\n".join(step_text(number, m, limit) for number, m in enumerate(response.trajectory, start=1))


def step_text(number: int, message: Message, limit: int | None = None) -> str:
    """One message of a trajectory, headed by its number and its speaker."""
    name = one_line(without_steps(message.name or "")) if message.role == "tool" else ""  # perhaps the agent's words
    speaker = f"tool {name}" if name else message.role
    # The steps' own mark is neutralised with the other tags where this text is put into its place.
    return f"[Step {number}, {speaker}]\n{shortened(without_steps(message_text(message)), limit)}"


def without_steps(text: str) -> str:
    """The text with its own uses of the step mark made harmless: nothing inside a message can begin another."""
    return _STEP.sub(lambda match: match[0].replace("[", "("), without_tags(text))


def shortened(text: str, limit: int | None) -> str:
    """The text, or, if that is shorter, its beginning and end with a note of how much is left out between them."""
    if limit is None or len(text) <= limit:
        return text
    head = limit * 2 // 3
    tail = limit - head
    cut = f"{text[:head]} [... {len(text) - limit} characters left out ...] {text[len(text) - tail :]}"
    return cut if len(cut) < len(text) else text


def fit(whole: Callable[[int | None], T], tokens: Callable[[T], int], window: int | None) -> T:
    """The result of `whole` with the largest limit that fits the window; with the smallest limit if none fits.

    Args:
        whole: builds a question whose messages have at most this many characters; None leaves them unchanged.
        tokens: returns the length of a question.
        window: tokens that the judge can read; None if unknown.
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
