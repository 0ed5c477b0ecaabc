"""What tests of episodes share: a small environment, and a way of writing turns that a random model keeps to."""

import os
from collections.abc import Sequence
from typing import Any

from conftest import make_model
from preceptor.backends.transformers.chat import encode_conversation, encode_frame, encode_text
from preceptor.backends.transformers.model import LocalModel
from preceptor.backends.transformers.tool_parsing import ParsedTurn
from preceptor.core.types import Conversation, FunctionCall, Message, ToolCall


class Counting:
    """Counts. It breaks when 7 is added, and its task is to count to 20 or more."""

    def reset(self, start: int = 0, more: str | None = None, **row: Any) -> str | None:
        self.total = start
        return more

    def add(self, number: int) -> str:
        """Adds a number.

        Args:
            number: what to add.
        """
        if number == 7:
            os._exit(1)
        self.total += number
        return f"the total is {self.total}"

    def fail(self) -> str:
        """Fails."""
        raise ValueError("it never works")

    def get_reward(self) -> float:
        """The share of the way to 20."""
        return min(1.0, self.total / 20)


ENVIRONMENT = f"{__file__}:Counting"
ENDS = range(100, 130)
"""Tokens that end a turn: so many that the random model ends its turns by itself."""


def talkative() -> LocalModel:
    """The tiny model, whose turns end after about a dozen tokens."""
    model = make_model()
    model.model.generation_config.eos_token_id = list(ENDS)
    return model


class NumberFormat:
    """Reads a turn by the sum of its tokens: it is an answer, it calls one tool or two, or its call is broken."""

    def __init__(self, tokenizer: Any) -> None:
        self._tokenizer = tokenizer

    def begun(self, conversation: Conversation) -> list[int]:
        return encode_conversation(self._tokenizer, conversation)

    def read(self, ids: Sequence[int], calls_before: int) -> ParsedTurn:
        total = sum(ids)
        calls = [("add", f'{{"number": {total % 11}}}'), ("fail", "{}")][: (0, 1, 2, 1, 2, 0)[total % 6]]
        named = tuple(
            ToolCall(id=str(calls_before + place), function=FunctionCall(name=name, arguments=given))
            for place, (name, given) in enumerate(calls)
        )
        message = Message(role="assistant", content=str(self._tokenizer.decode(list(ids))), tool_calls=named)
        return ParsedTurn(message, "no number" if total % 6 == 5 else "")

    def between(self, conversation: Conversation, observed: Sequence[Message]) -> list[int]:
        ids: list[int] = encode_frame(self._tokenizer, "\n")
        for message in observed:
            ids += encode_frame(self._tokenizer, "<|im_start|>tool\n")
            ids += encode_text(self._tokenizer, message.content)
            ids += encode_frame(self._tokenizer, "<|im_end|>\n")
        return ids + encode_frame(self._tokenizer, "<|im_start|>assistant\n")
