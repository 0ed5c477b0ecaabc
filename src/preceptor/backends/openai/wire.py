"""Bodies of the two calls that continue a text: /completions for a plain one, /chat/completions for a conversation."""

from typing import Any

from preceptor.core.control_tokens import defused
from preceptor.core.types import Conversation, Message

NEUTRAL_SAMPLING = {"top_k": 0, "min_p": 0.0, "repetition_penalty": 1.0}
"""Switches off what vLLM and llama.cpp do to a distribution by default. Servers that refuse these are sent none."""
WHOLE_DISTRIBUTION = {"temperature": 1.0, "top_p": 1.0}
"""Samples from the model's distribution as it is."""


def question(
    name: str, prompt: str | Conversation, begun: str, prefill_flags: dict[str, Any]
) -> tuple[str, dict[str, Any]]:
    """The path and the first half of the body: what is continued.

    Args:
        begun: how the continuation begins.
        prefill_flags: what makes the server continue the last message of a conversation.
    """
    if isinstance(prompt, str):
        return "/completions", {"model": name, "prompt": defused(prompt) + begun}
    messages = [_harmless(message) for message in prompt]
    body: dict[str, Any] = {"model": name, "messages": messages}
    if begun:
        messages.append({"role": "assistant", "content": begun})
        body |= prefill_flags
    return "/chat/completions", body


def _harmless(message: Message) -> dict[str, Any]:
    """The message as the API takes it, in which nothing is read as a control token: tools' names and arguments are
    perhaps a candidate's words.
    """
    wired = message.wire() | {"content": defused(message.content)}
    for key in ("name", "tool_call_id"):
        wired |= {key: defused(wired[key])} if key in wired else {}
    for call in wired.get("tool_calls", ()):
        call["id"] = defused(call["id"])
        call["function"] = {key: defused(text) for key, text in call["function"].items()}
    return wired


def most_probable(path: str, count: int) -> dict[str, Any]:
    """The second half: greedy, with the `count` most probable tokens at each place.

    Greedy, because servers may list the sampled token in the place of the least probable one. Where a server scales
    log-probabilities by the temperature (SGLang does), its greedy mode leaves them as they are; vLLM and llama.cpp give
    those of the raw model at any temperature.
    """
    wanted = {"logprobs": True, "top_logprobs": count} if path == "/chat/completions" else {"logprobs": count}
    return wanted | {"temperature": 0.0}
