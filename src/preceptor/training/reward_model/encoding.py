"""Encodes a prompt and a response for a reward model: in its own chat template, with its own tokenizer.

The text is the one that TRL's trainers and RewardBench score, `apply_chat_template(messages, tokenize=False)`,
tokenised as a whole; but a content that spells a control token stays text.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any

from jinja2 import TemplateError

from preceptor.backends.transformers.chat import content_of, encode_frame, encode_pieces, encode_text
from preceptor.backends.transformers.rendering import Piece, TemplateRefusalError, render
from preceptor.core.errors import UsageError
from preceptor.core.types import Conversation, JsonObject, Message, Prompt, Response

_MARK = "\u2402{}\u2403"  # two symbols no template contains, around the index of the message
_MARK_PATTERN = re.compile("\u2402(\\d+)\u2403")


@dataclass(frozen=True)
class NoReward:
    """Why a response has no reward. It is never a number."""

    kind: str
    """The reason, in the same words for all responses to which it applies."""
    about: str = ""
    """Details about this response."""

    @property
    def detail(self) -> str:
        """Reason and details on one line."""
        return f"{self.kind}: {self.about}" if self.about else self.kind


def check_template(tokenizer: Any) -> None:
    """Checks that a tokenizer's chat template includes the user's and the assistant's message.

    Raises: UsageError when there is no template, or it leaves a message out.
    """
    if tokenizer.chat_template is None:
        raise UsageError(f"{tokenizer.name_or_path}: this model has no chat template; name an instruct model")
    marked = [{"role": role, "content": _MARK.format(i)} for i, role in enumerate(("user", "assistant"))]
    text: str = tokenizer.apply_chat_template(marked, tokenize=False)
    if _MARK_PATTERN.findall(text) != ["0", "1"]:
        raise UsageError(f"{tokenizer.name_or_path}: the model's chat template leaves messages out")


def encode_exchange(tokenizer: Any, prompt: Prompt, response: Response) -> tuple[int, ...] | NoReward:
    """Token ids of a prompt and a response, which may be a trajectory; or the reason why there are none.

    The whole rendered text is tokenised at once, except texts that spell a control token: they are encoded separately
    as plain text. A template without tools shows them in the plain format (`backends.transformers.tool_format`).
    """
    messages = (*prompt.conversation, *response.messages)
    if prompt.tools or any(message.role == "tool" or message.tool_calls for message in messages):
        return _with_tools(tokenizer, messages, prompt.tools)
    hostile = {i for i, message in enumerate(messages) if _is_hostile(tokenizer, message)}
    wired = [
        {"role": m.role, "content": _MARK.format(i) if i in hostile else m.content} for i, m in enumerate(messages)
    ]
    try:
        text: str = tokenizer.apply_chat_template(wired, tokenize=False)
    except (TemplateError, TypeError) as error:  # some templates raise for a system message, for instance
        return NoReward("the chat template refuses it", (str(error) or type(error).__name__).splitlines()[0])
    pieces = _MARK_PATTERN.split(text)  # text, index, text, index, ..., text
    if [int(i) for i in pieces[1::2]] != sorted(hostile):
        return NoReward("the chat template leaves messages out")
    return tuple(_ids(tokenizer, pieces, messages))


def _with_tools(tokenizer: Any, messages: Conversation, tools: Sequence[JsonObject]) -> tuple[int, ...] | NoReward:
    """Token ids of messages with calls of tools and their results, or with tools that could be called."""
    try:
        pieces = render(tokenizer, messages, tools=tools, ready=False)
    except TemplateRefusalError as error:
        return NoReward("the chat template refuses it, or leaves messages or tool calls out", str(error))
    ids: list[int] = []
    for apart, run in groupby(pieces, key=lambda piece: piece.kind != "frame" and _changes(tokenizer, messages, piece)):
        if apart:
            for piece in run:
                ids += encode_pieces(tokenizer, [piece], messages)
        else:
            ids += encode_frame(tokenizer, "".join(piece.text for piece in run))
    return tuple(ids)


def _changes(tokenizer: Any, messages: Conversation, piece: Piece) -> bool:
    """Whether a text must be encoded separately."""
    message = Message(role="user") if piece.kind == "call" else messages[piece.message]
    shown = content_of(tokenizer, message.model_copy(update={"content": piece.text}))
    return shown != piece.text or _spells_control(tokenizer, piece.text)


def _ids(tokenizer: Any, pieces: Sequence[str], messages: Sequence[Message]) -> list[int]:
    ids: list[int] = []
    for position, piece in enumerate(pieces):
        if position % 2 == 0:
            ids += [int(i) for i in tokenizer(piece, add_special_tokens=False)["input_ids"]]
        else:
            ids += encode_text(tokenizer, content_of(tokenizer, messages[int(piece)]))
    return ids


def _is_hostile(tokenizer: Any, message: Message) -> bool:
    return _spells_control(tokenizer, message.content) or content_of(tokenizer, message) != message.content


def _spells_control(tokenizer: Any, text: str) -> bool:
    """Whether a text contains anything that would be read as a control token or as one of the marks."""
    if _MARK_PATTERN.search(text):
        return True
    plain = tokenizer(text, add_special_tokens=False)["input_ids"]
    return [int(i) for i in plain] != encode_text(tokenizer, text)
