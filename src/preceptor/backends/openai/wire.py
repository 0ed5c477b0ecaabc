"""Bodies of the two calls that continue a text: /completions for plain text, /chat/completions for a conversation."""

from typing import Any

from pydantic import JsonValue

from preceptor.core.control_tokens import defused
from preceptor.core.types import Conversation, JsonObject, Message

NEUTRAL_SAMPLING: JsonObject = {"top_k": 0, "min_p": 0.0, "repetition_penalty": 1.0}
"""Turns off default changes of vLLM and llama.cpp to the distribution; not sent to servers that refuse the fields."""
WHOLE_DISTRIBUTION: JsonObject = {"temperature": 1.0, "top_p": 1.0}
"""Samples from the model's own distribution."""


def question(name: str, prompt: str | Conversation, begun: str, prefill_flags: JsonObject) -> tuple[str, JsonObject]:
    """The path and the first half of the body: the text to continue.

    Args:
        begun: the given beginning of the continuation.
        prefill_flags: fields that make the server continue the last message of a conversation.
    """
    if isinstance(prompt, str):
        return "/completions", {"model": name, "prompt": defused(prompt) + begun}
    messages: list[JsonValue] = [_harmless(message) for message in prompt]
    if begun:
        messages.append({"role": "assistant", "content": begun})
    body: JsonObject = {"model": name, "messages": messages}
    return "/chat/completions", body | (prefill_flags if begun else {})


def _harmless(message: Message) -> JsonObject:
    """The message in the API's format, with anything defused that could be read as a control token. A candidate may
    also have written the names and arguments of tools.
    """
    wired: dict[str, Any] = message.wire() | {"content": defused(message.content)}
    for key in ("name", "tool_call_id"):
        wired |= {key: defused(wired[key])} if key in wired else {}
    for call in wired.get("tool_calls", ()):
        call["id"] = defused(call["id"])
        call["function"] = {key: defused(text) for key, text in call["function"].items()}
    return wired


ITEM = "\n\n<prompt>\n"
"""With this begins what is judged, behind constitution and exemplars, in a judge's question (`judging/render.py`). No
candidate can write it.
"""
_CACHED: JsonObject = {"type": "ephemeral"}


def marked(messages: JsonValue, *, whole: bool) -> list[JsonValue]:
    """The messages, with marks for a provider that caches only marked beginnings: one where what is judged begins.

    Args:
        whole: whether to mark the end too, because the same is asked again.
    """
    assert isinstance(messages, list)
    last = len(messages) - 1
    return [_marked(message, first=i == 0, end=whole and i == last) for i, message in enumerate(messages)]


def _marked(message: JsonValue, *, first: bool, end: bool) -> JsonValue:
    if not isinstance(message, dict) or not isinstance(message.get("content"), str):
        return message
    content = str(message["content"])
    beginning, item, rest = content.rpartition(ITEM) if first else ("", "", content)
    parts = ((beginning, True), (item + rest, end))
    blocks: list[JsonValue] = [_block(text, cached=cached) for text, cached in parts if text]
    return {**message, "content": blocks or content}


def _block(text: str, *, cached: bool) -> JsonObject:
    block: JsonObject = {"type": "text", "text": text}
    if cached:
        block["cache_control"] = dict(_CACHED)
    return block


def most_probable(path: str, count: int) -> JsonObject:
    """The second half of the body: greedy decoding, with the `count` most probable tokens at each place.

    Servers may list a sampled token in place of the least probable one; greedy decoding rules this out. SGLang scales
    log-probabilities by the temperature, but not in greedy mode; vLLM and llama.cpp give the raw model's at any
    temperature.
    """
    wanted: JsonObject = (
        {"logprobs": True, "top_logprobs": count} if path == "/chat/completions" else {"logprobs": count}
    )
    return wanted | {"temperature": 0.0}


def response_format(schema: JsonObject) -> JsonObject:
    """The field that makes a server enforce a JSON schema on the answer to a conversation."""
    return {
        "response_format": {"type": "json_schema", "json_schema": {"name": "answer", "strict": True, "schema": schema}}
    }
