"""A conversation in a model's chat template, divided into the template's own text and the texts that it was given.

Texts are replaced by marks before the template sees them, so that it is known afterwards what stands where: contents
of messages, names of tools, and every text in the arguments of a call.
"""

import json
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from jinja2 import TemplateError

from preceptor.backends.transformers.tool_format import decoded, inert_tools, plain_tools, plain_turn, tool_format
from preceptor.core.errors import UsageError
from preceptor.core.types import Conversation, JsonObject, Message, ToolCall

_MARK_PATTERN = re.compile('\u2402(\\d+)(?:(\\\\?)")?\u2403')
"""Two symbols that no template contains, around the index of a text. In a mark with a quotation mark, a template that
writes JSON puts a backslash before it, which shows that the text must be written as JSON as well."""
_SAFE_ID = re.compile(r"[\w.:-]{1,64}", re.ASCII)


class TemplateRefusalError(UsageError):
    """A chat template refuses a conversation, though it may take others."""


@dataclass(frozen=True)
class Piece:
    """A part of a rendered conversation."""

    text: str
    kind: Literal["frame", "content", "call"] = "frame"
    """The template's own text; a message's content, as it was given; or what belongs to a turn with calls of tools."""
    message: int = -1
    """The index of the message that the text is of; -1 for the template's own text."""


@dataclass(frozen=True)
class _Outside:
    """A text that a mark stands for."""

    piece: Piece
    where: Literal["once", "somewhere", "perhaps", "bare"] = "once"
    """How often it stands in the template: once; once or more; any number of times. `bare`: as `somewhere`, and without
    the quotation marks of JSON, since it is broken JSON."""


def render(
    tokenizer: Any,
    conversation: Conversation,
    *,
    tools: Sequence[JsonObject] = (),
    settings: Mapping[str, object] | None = None,
    ready: bool = True,
) -> list[Piece]:
    """A conversation in the chat template.

    Args:
        tools: JSON schemas of the tools that the assistant may call.
        settings: variables of the template, such as `enable_thinking`.
        ready: whether the assistant's next turn is begun.

    Raises: UsageError when the tokenizer has no chat template, or its template drops or repeats a message;
        TemplateRefusalError when the template refuses this conversation, or leaves calls of tools out.
    """
    if tokenizer.chat_template is None:
        raise UsageError(f"{tokenizer.name_or_path}: this model has no chat template; name an instruct model")
    acts = any(message.role == "tool" or message.tool_calls for message in conversation)
    listed = inert_tools(tools)
    more = {"add_generation_prompt": ready, **(settings or {})}
    if not acts and not listed:
        return _rendered(tokenizer, _Marked().plain(conversation, ()), more)
    if not tool_format(tokenizer).native:
        return _rendered(tokenizer, _Marked().plain(conversation, listed), more, refuses=True)
    more |= {"tools": listed} if listed else {}
    try:
        return _rendered(tokenizer, _Marked().native(conversation), more, refuses=True)
    except TemplateRefusalError:  # some templates take only ids of nine letters and digits
        renamed = _Marked(short_ids=True).native(conversation)
        return _rendered(tokenizer, renamed, more, refuses=True)


class _Marked:
    """Messages for a template, with marks for texts, and the texts."""

    def __init__(self, *, short_ids: bool = False) -> None:
        self.texts: list[_Outside] = []
        self.messages: list[JsonObject] = []
        self._short_ids = short_ids
        self._ids: dict[str, str] = {}

    def plain(self, conversation: Conversation, tools: Sequence[JsonObject]) -> "_Marked":
        """Messages of texts alone, tools in the plain format."""
        for index, message in enumerate(conversation):
            role, text = message.role, plain_turn(message) if message.tool_calls else message.content
            mark = self._put(Piece(text, "content", index))
            if role == "tool":
                role, mark = "user", f"<tool_result>\n{mark}\n</tool_result>"
            after_tool = index > 0 and "tool" in (message.role, conversation[index - 1].role)
            if after_tool and role == "user" and self.messages[-1]["role"] == "user":
                self.messages[-1]["content"] = f"{self.messages[-1]['content']}\n{mark}"
            else:
                self.messages.append({"role": role, "content": mark})
        if tools:
            first, told = self.messages[0], plain_tools(tools)
            text = str(first["content"])
            first["content"] = f"{text}\n\n{told}" if first["role"] == "system" else f"{told}\n\n{text}"
        return self

    def native(self, conversation: Conversation) -> "_Marked":
        """Messages as templates with tools take them."""
        for index, message in enumerate(conversation):
            kind = "call" if message.tool_calls else "content"
            empty = bool(message.tool_calls) and not message.content
            wired: JsonObject = {
                "role": message.role,
                "content": ""
                if empty
                else self._put(Piece(message.content, kind, index), quoted=message.role == "tool"),
            }
            if message.tool_calls:
                wired["tool_calls"] = [self._call(call, index) for call in message.tool_calls]
            if message.role == "tool":
                wired |= self._about(message, index)
            self.messages.append(wired)
        return self

    def _call(self, call: ToolCall, index: int) -> JsonObject:
        name = self._put(Piece(call.function.name, "call", index), "somewhere", quoted=True)
        values = decoded(call.function.arguments)
        arguments = (
            self._put(Piece(call.function.arguments, "call", index), "bare", quoted=True)
            if values is None
            else self._values(values, index)
        )
        return {"id": self._id(call.id), "type": "function", "function": {"name": name, "arguments": arguments}}

    def _about(self, message: Message, index: int) -> JsonObject:
        about: JsonObject = {"tool_call_id": self._id(message.tool_call_id or "")}
        if message.name:
            about["name"] = self._put(Piece(message.name, "content", index), "perhaps", quoted=True)
        return about

    def _values(self, value: Any, index: int) -> Any:
        """Arguments with marks for all their texts."""
        if isinstance(value, str):
            return self._put(Piece(value, "call", index), "somewhere", quoted=True)
        if isinstance(value, dict):
            return {self._values(key, index): self._values(part, index) for key, part in value.items()}
        return [self._values(part, index) for part in value] if isinstance(value, list) else value

    def _id(self, given: str) -> str:
        """The id of a call: as given if it is harmless, otherwise another, the same for the call and its result."""
        if not self._short_ids and _SAFE_ID.fullmatch(given):
            return given
        return self._ids.setdefault(given, f"call{len(self._ids):05d}")

    def _put(
        self, piece: Piece, where: Literal["once", "somewhere", "perhaps", "bare"] = "once", *, quoted: bool = False
    ) -> str:
        self.texts.append(_Outside(piece, where))
        return f"\u2402{len(self.texts) - 1}{chr(34) if quoted else ''}\u2403"


def _rendered(tokenizer: Any, marked: _Marked, settings: Mapping[str, object], *, refuses: bool = False) -> list[Piece]:
    """The pieces of messages in the template.

    Args:
        refuses: whether a template that leaves something out is said to refuse this conversation alone.
    """
    try:
        frame: str = tokenizer.apply_chat_template(marked.messages, tokenize=False, **settings)
    except (TemplateError, TypeError) as error:  # some templates raise for a system message, for instance
        if isinstance(error, TypeError) and not refuses:
            raise
        reason = (str(error) or type(error).__name__).splitlines()[0]
        raise TemplateRefusalError(
            f"{tokenizer.name_or_path}: the model's chat template refuses a conversation: {reason}"
        ) from error
    pieces, found = _divided(frame, marked.texts)
    order = [piece.message for piece in pieces if piece.kind != "frame"]
    if order != sorted(order) or not _complete(found, marked.texts):
        kind, what = (TemplateRefusalError, "calls of tools, or messages") if refuses else (UsageError, "messages")
        raise kind(f"{tokenizer.name_or_path}: the model's chat template drops or reorders {what}")
    return pieces


def _divided(frame: str, texts: Sequence[_Outside]) -> tuple[list[Piece], Counter[int]]:
    """The pieces of a rendered conversation, and how often each text was found in it."""
    pieces: list[Piece] = []
    found: Counter[int] = Counter()
    end = 0
    for mark in _MARK_PATTERN.finditer(frame):
        index, start, after = int(mark[1]), mark.start(), mark.end()
        if index >= len(texts):
            continue
        outside = texts[index]
        text = outside.piece.text
        if outside.where == "bare":
            within = frame[start - 1 : start] == '"' == frame[after : after + 1]
            start, after = (start - 1, after + 1) if mark[2] and within else (start, after)
        elif mark[2]:
            text = json.dumps(text, ensure_ascii=False)[1:-1]
        pieces.append(Piece(frame[end:start]))
        pieces.append(Piece(text, outside.piece.kind, outside.piece.message))
        found[index] += 1
        end = after
    return [*pieces, Piece(frame[end:])], found


def _complete(found: Mapping[int, int], texts: Sequence[_Outside]) -> bool:
    """Whether every text stands in the template as often as it must."""
    counts = {"once": (1, 1), "somewhere": (1, None), "bare": (1, None), "perhaps": (0, None)}
    for index, outside in enumerate(texts):
        least, most = counts[outside.where]
        count = found.get(index, 0)
        if count < least or (most is not None and count > most):
            return False
    return True
