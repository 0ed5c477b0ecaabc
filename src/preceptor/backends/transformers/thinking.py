"""How a chat template lets a model think: found out by rendering it, since every family has tags of its own.

A template is rendered with an assistant's message that has a thought and an answer. What stands before the thought
opens it, what stands between the two closes it. Some templates drop every thought; for these,
the tags are known from how the template begins an answer (`<think>`) or from its text.
"""

import re
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from jinja2 import TemplateError

from preceptor.backends.base import ThinkingLevel
from preceptor.backends.transformers.chat import encode_answer, encode_conversation, encode_frame
from preceptor.core.types import Conversation, JsonObject

_ON: JsonObject = {"enable_thinking": True, "thinking": True}
_OFF: JsonObject = {"enable_thinking": False, "thinking": False}
"""The variables that turn thinking on and off in templates (`thinking`: DeepSeek V3.1)."""
_KEYS = ("reasoning_content", "thinking", "reasoning")
"""Where templates look for the thought in an assistant's message."""
_QUESTION, _THOUGHT, _ANSWER = "\u2402q\u2403", "\u2402t\u2403", "\u2402a\u2403"
_DROPPED = (("<think>\n", "\n</think>\n\n"), ("<|channel>thought\n", "\n<channel|>"))
"""Opening and closing in templates that render no thought of an answer: DeepSeek's and Gemma's."""
_TAG = re.compile(r"<[^<>\s]+>|\[[^\[\]\s]+\]")


@dataclass(frozen=True)
class ThinkingTemplate:
    """How a chat template lets a model think, and how it keeps it from thinking."""

    opening: str
    """What opens a thought after the beginning of an answer."""
    closing: str
    """What stands between the thought and the answer."""
    unopened: str
    """What follows the beginning of an answer without a thought."""
    efforts: tuple[str, ...]
    """The levels that the template passes on to the model."""

    @property
    def end(self) -> str:
        """The tag that ends a thought."""
        tag = _TAG.search(self.closing)
        return tag[0] if tag else self.closing.strip()


def thinking_template(tokenizer: Any) -> ThinkingTemplate | None:
    """How the tokenizer's chat template lets a model think; None if it has no place for a thought."""
    return None if tokenizer.chat_template is None else _found(tokenizer, str(tokenizer.chat_template))


@lru_cache(maxsize=16)
def _found(tokenizer: Any, template: str) -> ThinkingTemplate | None:
    begun = _rendered(tokenizer, None, _ON)
    tags = None if begun is None else _tags(tokenizer, template, begun)
    if begun is None or tags is None:
        return None
    opening, closing = tags
    unopened = ""
    if _rendered(tokenizer, None, _OFF) == begun:  # the template has no switch
        answered = _rendered(tokenizer, {}, _OFF) or ""
        plain = answered.partition(_ANSWER)[0]
        unopened = plain.removeprefix(begun) if plain.startswith(begun) else "" if opening else closing
    levels = [level for level in ("low", "medium", "high") if _rendered(tokenizer, None, _ON | _effort(level))]
    told = len({_rendered(tokenizer, None, _ON | _effort(level)) for level in levels}) > 1
    return ThinkingTemplate(opening, closing, unopened, tuple(levels) if told else ())


def thought_begun(tokenizer: Any, template: ThinkingTemplate, turns: Conversation, level: ThinkingLevel) -> list[int]:
    """Token ids of a conversation up to where the thought begins.

    Raises: as `encode_conversation`.
    """
    settings = _ON | (_effort(level) if isinstance(level, str) and level in template.efforts else {})
    return encode_conversation(tokenizer, turns, settings=settings) + encode_frame(tokenizer, template.opening)


def thought_closed(tokenizer: Any, template: ThinkingTemplate, thought: str, prefill: str = "") -> list[int]:
    """Token ids of a thought and of what closes it, up to where the answer begins."""
    begun = encode_answer(tokenizer, prefill) if prefill else []
    return encode_answer(tokenizer, thought) + encode_frame(tokenizer, template.closing) + begun


def without_thought(tokenizer: Any, template: ThinkingTemplate, turns: Conversation, prefill: str) -> list[int]:
    """Token ids of a conversation up to where an answer without a thought begins.

    Raises: as `encode_conversation`.
    """
    ids = encode_conversation(tokenizer, turns, settings=_OFF) + encode_frame(tokenizer, template.unopened)
    return ids + (encode_answer(tokenizer, prefill) if prefill else [])


def end_tokens(tokenizer: Any, template: ThinkingTemplate) -> list[int]:
    """The token that ends a thought, if its tag is a single one."""
    ids = encode_frame(tokenizer, template.end)
    return ids if len(ids) == 1 else []


def _effort(level: str) -> JsonObject:
    return {"reasoning_effort": level}


def _rendered(tokenizer: Any, thought: JsonObject | None, settings: JsonObject) -> str | None:
    """A question in the template, ready for an answer, or with an answer; None if the template refuses it.

    Args:
        thought: the fields of the answer besides its content; None for no answer.
    """
    messages: list[JsonObject] = [{"role": "user", "content": _QUESTION}]
    if thought is not None:
        messages.append({"role": "assistant", "content": _ANSWER, **thought})
    try:
        return str(
            tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=thought is None, **settings)
        )
    except (TemplateError, TypeError, ValueError):
        return None


def _tags(tokenizer: Any, template: str, begun: str) -> tuple[str, str] | None:
    """What opens a thought after `begun`, and what closes it."""
    for key in _KEYS:
        shown = _rendered(tokenizer, {key: _THOUGHT}, _ON) or ""
        before, _, rest = shown.partition(_THOUGHT)
        closing, answered, _ = rest.partition(_ANSWER)
        if answered and closing.strip() and (before.startswith(begun) or begun.rstrip() == before.rstrip()):
            return before.removeprefix(begun) if before.startswith(begun) else "", closing
    for opening, closing in _DROPPED:
        if begun.rstrip().endswith(opening.strip()):
            return "", closing
        if closing.strip() in template and _rendered(tokenizer, None, _OFF) != begun:
            return opening, closing
    return None
