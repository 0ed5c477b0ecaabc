"""Turns text into token ids, so that text from outside never becomes control tokens.

A chat template mixes control tokens (`<|im_start|>`) with message contents. A content that spells a control token must
stay text, so contents are replaced by marks before the template is tokenised, and are tokenised separately.
Some tokenizers list tokens such as `<tool_call>` and `</think>` among ordinary words and recognise them in plain text
too: these get a space inside, unless the assistant itself wrote them.
"""

import re
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

from jinja2 import TemplateError

from preceptor.core.control_tokens import defused_of, is_control
from preceptor.core.errors import UsageError
from preceptor.core.types import Conversation, Message

_MARK = "\u2402{}\u2403"  # two symbols that no template contains, around the index of the message
_MARK_PATTERN = re.compile("\u2402(\\d+)\u2403")


class TemplateRefusalError(UsageError):
    """A chat template refuses a conversation, though it may take others."""


def encode_text(tokenizer: Any, text: str) -> list[int]:
    """Token ids of plain text: no control tokens are added, and none are recognised in the text."""
    ids = tokenizer(text, add_special_tokens=False, split_special_tokens=True, verbose=False)["input_ids"]
    return [int(i) for i in ids]


def encode_frame(tokenizer: Any, text: str) -> list[int]:
    """Token ids of a chat template's own text, control tokens included. Never call this with text from elsewhere."""
    ids = tokenizer(text, add_special_tokens=False, verbose=False)["input_ids"]
    return [int(i) for i in ids]


def encode_conversation(
    tokenizer: Any, conversation: Conversation, prefill: str = "", settings: Mapping[str, object] | None = None
) -> list[int]:
    """Token ids of a conversation in the model's chat template, ready for the assistant's answer.

    Args:
        settings: variables of the template, such as `enable_thinking`.

    Raises: UsageError when the tokenizer has no chat template, when its template drops or repeats a message, or when
        the conversation holds tool calls; TemplateRefusalError when the template refuses the conversation.
    """
    if any(message.role == "tool" or message.tool_calls for message in conversation):
        raise UsageError("a conversation with tool calls can be judged, but a local model cannot continue it")
    if tokenizer.chat_template is None:
        raise UsageError(f"{tokenizer.name_or_path}: this model has no chat template; name an instruct model")
    marked = [{"role": m.role, "content": _MARK.format(i)} for i, m in enumerate(conversation)]
    try:
        frame: str = tokenizer.apply_chat_template(
            marked, tokenize=False, add_generation_prompt=True, **(settings or {})
        )
    except TemplateError as error:  # some templates raise for a system message, for instance
        reason = (str(error) or type(error).__name__).splitlines()[0]
        raise TemplateRefusalError(
            f"{tokenizer.name_or_path}: the model's chat template refuses a conversation: {reason}"
        ) from error
    pieces = _MARK_PATTERN.split(frame)  # frame, index, frame, index, ..., frame
    if [int(i) for i in pieces[1::2]] != list(range(len(conversation))):
        raise UsageError(f"{tokenizer.name_or_path}: the model's chat template drops or reorders messages")
    ids: list[int] = []
    for position, piece in enumerate(pieces):
        if position % 2 == 0:
            ids += encode_frame(tokenizer, piece)
        else:
            ids += encode_text(tokenizer, content_of(tokenizer, conversation[int(piece)]))
    return ids + (encode_answer(tokenizer, prefill) if prefill else [])


def encode_answer(tokenizer: Any, text: str) -> list[int]:
    """Token ids of a given beginning of the assistant's answer, or of its thought: either may quote a candidate."""
    return encode_text(tokenizer, _inert(tokenizer, text))


def encode_prompt(tokenizer: Any, prompt: str | Conversation, prefill: str = "") -> list[int]:
    """Token ids of either form of prompt. Plain text begins with BOS if the tokenizer adds it."""
    if not isinstance(prompt, str):
        return encode_conversation(tokenizer, prompt, prefill)
    start = [int(i) for i in tokenizer("")["input_ids"]]
    return start + encode_text(tokenizer, _inert(tokenizer, prompt + prefill))


def content_of(tokenizer: Any, message: Message) -> str:
    """A message's content, ready for `encode_text`. Unless the assistant wrote it, control tokens are defused that the
    tokenizer would recognise in spite of its settings.
    """
    return message.content if message.role == "assistant" else _inert(tokenizer, message.content)


def _inert(tokenizer: Any, text: str) -> str:
    return defused_of(text, _read_anyway(tokenizer))


@lru_cache(maxsize=16)
def _read_anyway(tokenizer: Any) -> frozenset[str]:
    """Control tokens of the tokenizer that it does not call special."""
    added = tokenizer.added_tokens_decoder.values()
    return frozenset(token.content for token in added if not token.special and is_control(token.content))
