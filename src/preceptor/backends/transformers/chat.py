"""Turns text into token ids, so that text from outside never becomes control tokens.

A chat template mixes control tokens (`<|im_start|>`) with message contents. A content that spells a control token must
stay text, so contents are replaced by marks before the template is tokenised, and are tokenised separately.
Some tokenizers list tokens such as `<tool_call>` and `</think>` among ordinary words and recognise them in plain text
too: these get a space inside, unless the assistant itself wrote them.
"""

from collections.abc import Mapping, Sequence
from functools import lru_cache
from itertools import groupby
from typing import Any

from preceptor.backends.transformers.rendering import Piece, render
from preceptor.core.control_tokens import defused, defused_of, is_control
from preceptor.core.types import Conversation, JsonObject, Message


def encode_text(tokenizer: Any, text: str) -> list[int]:
    """Token ids of plain text: no control tokens are added, and none are recognised in the text."""
    ids = tokenizer(text, add_special_tokens=False, split_special_tokens=True, verbose=False)["input_ids"]
    return [int(i) for i in ids]


def encode_frame(tokenizer: Any, text: str) -> list[int]:
    """Token ids of a chat template's own text, control tokens included. Never call this with text from elsewhere."""
    ids = tokenizer(text, add_special_tokens=False, verbose=False)["input_ids"]
    return [int(i) for i in ids]


def encode_conversation(
    tokenizer: Any,
    conversation: Conversation,
    prefill: str = "",
    settings: Mapping[str, object] | None = None,
    tools: Sequence[JsonObject] = (),
) -> list[int]:
    """Token ids of a conversation in the model's chat template, ready for the assistant's answer.

    Args:
        settings: variables of the template, such as `enable_thinking`.
        tools: JSON schemas of the tools that the assistant may call.

    Raises: UsageError when the tokenizer has no chat template, or its template drops or repeats a message;
        TemplateRefusalError when the template refuses the conversation, or leaves calls of tools out.
    """
    pieces = render(tokenizer, conversation, tools=tools, settings=settings)
    ids = encode_pieces(tokenizer, pieces, conversation)
    return ids + (encode_answer(tokenizer, prefill) if prefill else [])


def encode_pieces(tokenizer: Any, pieces: Sequence[Piece], conversation: Sequence[Message]) -> list[int]:
    """Token ids of parts of a rendered conversation. Only the template's own text becomes control tokens."""
    ids: list[int] = []
    for alone, run in groupby(pieces, key=lambda piece: piece.kind == "content"):
        if alone:
            for piece in run:
                ids += encode_text(tokenizer, _outside(tokenizer, conversation[piece.message], piece.text))
        else:
            ids += _together(tokenizer, list(run))
    return ids


def _together(tokenizer: Any, pieces: Sequence[Piece]) -> list[int]:
    """Token ids of a template's text with calls of tools in it: of all of it together, as the model writes them, unless
    that gives other control tokens than the parts by themselves.
    """
    texts = [piece.text if piece.kind == "frame" else _inert(tokenizer, piece.text) for piece in pieces]
    apart: list[int] = []
    for piece, text in zip(pieces, texts, strict=True):
        apart += encode_frame(tokenizer, text) if piece.kind == "frame" else encode_text(tokenizer, text)
    if len(pieces) == 1:
        return apart
    added = tokenizer.added_tokens_decoder
    together = encode_frame(tokenizer, "".join(texts))
    same = [i for i in together if i in added] == [i for i in apart if i in added]
    return together if same else apart


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
    tokenizer would recognise in spite of its settings; in the result of a tool, whatever any model might read as one.
    """
    return _outside(tokenizer, message, message.content)


def _outside(tokenizer: Any, message: Message, text: str) -> str:
    """A text of a message, ready for `encode_text`."""
    if message.role == "assistant":
        return text
    return _inert(tokenizer, defused(text) if message.role == "tool" else text)


def _inert(tokenizer: Any, text: str) -> str:
    return defused_of(text, _read_anyway(tokenizer))


@lru_cache(maxsize=16)
def _read_anyway(tokenizer: Any) -> frozenset[str]:
    """Control tokens of the tokenizer that it does not call special."""
    added = tokenizer.added_tokens_decoder.values()
    return frozenset(token.content for token in added if not token.special and is_control(token.content))
