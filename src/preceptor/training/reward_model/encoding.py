"""Encodes a prompt and a response for a reward model: in its own chat template, with its own tokenizer.

The text is the one that TRL's trainers and RewardBench score, `apply_chat_template(messages, tokenize=False)`,
tokenised as a whole; but a content that spells a control token stays text.
"""

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from jinja2 import TemplateError

from preceptor.backends.transformers.chat import content_of, encode_text
from preceptor.core.errors import UsageError
from preceptor.core.types import JsonObject, Message, Prompt, Response, ToolCall

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

    The whole rendered text is tokenised at once, except contents that spell a control token: they are encoded
    separately as plain text.
    """
    messages = (*prompt.conversation, *response.messages)
    calls = [call for message in messages for call in message.tool_calls]
    names = [text for call in calls for text in (call.id, call.function.name, call.function.arguments)]
    names += [text for message in messages for text in (message.name, message.tool_call_id) if text]
    if any(_spells_control(tokenizer, text) for text in names):
        return NoReward("a tool call spells a control token")
    hostile = {i for i, message in enumerate(messages) if _is_hostile(tokenizer, message)}
    wired = [_wire(m, _MARK.format(i) if i in hostile else m.content) for i, m in enumerate(messages)]
    try:
        text: str = tokenizer.apply_chat_template(wired, tokenize=False)
    except (TemplateError, TypeError) as error:  # some templates raise for a system message, for instance
        return NoReward("the chat template refuses it", (str(error) or type(error).__name__).splitlines()[0])
    pieces = _MARK_PATTERN.split(text)  # text, index, text, index, ..., text
    if [int(i) for i in pieces[1::2]] != sorted(hostile) or any(call.function.name not in text for call in calls):
        return NoReward("the chat template leaves messages or tool calls out")
    return tuple(_ids(tokenizer, pieces, messages))


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


def _wire(message: Message, content: str) -> JsonObject:
    """A message in the form that templates expect: with a tool call's arguments decoded, if they are valid JSON."""
    wired = message.wire() | {"content": content}
    if message.tool_calls:
        wired["tool_calls"] = [
            {"id": call.id, "type": call.type, "function": {"name": call.function.name, "arguments": _values(call)}}
            for call in message.tool_calls
        ]
    return wired


def _values(call: ToolCall) -> Any:
    try:
        return json.loads(call.function.arguments)
    except ValueError:
        return call.function.arguments
