"""Converts chat messages of telemetry and logs into `Message`.

It reads the OpenAI chat format (also with a list of content parts, and Anthropic's parts for tools), the parts of the
OpenTelemetry conventions for generative AI, and the nested form of OpenInference and OpenLLMetry.
"""

import json
from typing import Any, Literal

from preceptor.core.types import FunctionCall, JsonObject, Message, ToolCall

Role = Literal["system", "user", "assistant", "tool"]
_ROLES: dict[str, Role] = {
    "system": "system",
    "developer": "system",
    "user": "user",
    "human": "user",
    "assistant": "assistant",
    "ai": "assistant",
    "model": "assistant",
    "tool": "tool",
    "function": "tool",
}
_TEXT = ("text", "input_text", "output_text", "refusal")
_THOUGHTS = ("reasoning", "thinking", "redacted_thinking")
_CALLS = ("tool_call", "tool_use")
_RESULTS = ("tool_call_response", "tool_result")
_LISTS = ("messages", "choices", "contents", "input", "prompt")
"""Keys under which a request or an answer that was recorded as a whole keeps its messages."""


class UnreadableError(ValueError):
    """Messages cannot be used; the error's text tells a person why."""


def decoded(value: Any) -> Any:
    """Decodes a text that holds a JSON object or list; returns anything else unchanged."""
    if isinstance(value, str) and value.lstrip()[:1] in {"{", "["}:
        try:
            return json.loads(value)
        except (ValueError, RecursionError):
            return value
    return value


def as_text(value: Any) -> str:
    """A text, or the JSON of other data, as valid Unicode: half of a surrogate pair becomes a question mark."""
    text = value if isinstance(value, str) else _json(value)
    return text.encode("utf-8", "replace").decode("utf-8")


def dicts(value: Any) -> list[JsonObject]:
    """The objects in a list; an empty list for anything else."""
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []


def read_messages(value: Any, role: Role = "user") -> list[Message]:
    """Reads messages from a list of them, an object that holds such a list, one message, or a plain text.

    Args:
        role: the role of a message without one.

    Raises: UnreadableError for an unknown role, and for content other than text and tool calls, such as an image.
    """
    if isinstance(value, dict) and not {"role", "content", "parts", "message"} & value.keys():
        value = next((value[key] for key in _LISTS if value.get(key)), _json(value))
    listed: list[Any] = value if isinstance(value, list) else [] if value is None else [value]
    return [message for part in listed for message in _messages(part, role)]


def read_instructions(value: Any) -> list[Message]:
    """A system message from instructions that were recorded separately: a text or a list of parts."""
    text = "" if value is None else _Parts(value).text
    return [Message(role="system", content=text)] if text.strip() else []


def _messages(raw: Any, role: Role) -> list[Message]:
    if not isinstance(raw, dict | str):
        raise UnreadableError(f"expected a message, got {type(raw).__name__}")
    fields: dict[str, Any] = raw if isinstance(raw, dict) else {"content": raw}
    if isinstance(fields.get("message"), dict):  # one of several choices, or OpenInference's nested form
        fields = fields["message"]
    named = str(fields.get("role") or role)
    if named.casefold() not in _ROLES:
        raise UnreadableError(f'a message has the role "{named}"; known are {", ".join(_ROLES)}')
    role = _ROLES[named.casefold()]
    content = next((fields[key] for key in ("parts", "contents", "content", "refusal") if fields.get(key)), None)
    parts = _Parts(content)
    calls = [*parts.calls, *(_call(call) for call in dicts(fields.get("tool_calls")))]
    if parts.results and not (parts.text or calls):
        return parts.results
    main = Message(
        role=role,
        content=parts.text,
        tool_calls=tuple(calls),
        tool_call_id=as_text(fields["tool_call_id"]) if fields.get("tool_call_id") else None,
        name=as_text(fields["name"]) if role == "tool" and fields.get("name") else None,
    )
    return [*parts.results, main]


class _Parts:
    """What a message's content holds."""

    def __init__(self, content: Any) -> None:
        self.calls: list[ToolCall] = []
        self.results: list[Message] = []
        if isinstance(content, str) and content.lstrip().startswith('[{"type":'):  # as OpenLLMetry writes parts
            content = decoded(content)
        listed: list[Any] = content if isinstance(content, list) else [] if content is None else [content]
        self.text = "\n".join(text for part in listed if (text := self._part(part)))

    def _part(self, part: Any) -> str:
        """The text of a part; tool calls and results are collected separately."""
        if not isinstance(part, dict):
            return as_text(part)
        inner = part.get("message_content")
        fields: dict[str, Any] = inner if isinstance(inner, dict) else part
        kind = fields.get("type")
        if kind in _TEXT or (kind is None and {"text", "content"} & fields.keys()):
            return as_text(next((fields[key] for key in ("content", "text", "refusal") if fields.get(key)), ""))
        if kind in _CALLS:
            if "name" in fields:  # else the message lists its calls apart
                self.calls.append(_call(fields))
        elif kind in _RESULTS:
            value = next((fields[key] for key in ("response", "result", "content") if key in fields), "")
            call = fields.get("id") or fields.get("tool_use_id")
            self.results.append(
                Message(role="tool", content=_flat(value), tool_call_id=as_text(call) if call else None)
            )
        elif kind not in _THOUGHTS:
            raise UnreadableError(f'a message holds a part of type "{kind}"; only text and tool calls can be judged')
        return ""


def _call(raw: dict[str, Any]) -> ToolCall:
    fields: dict[str, Any] = raw["tool_call"] if isinstance(raw.get("tool_call"), dict) else raw
    function: dict[str, Any] = fields["function"] if isinstance(fields.get("function"), dict) else fields
    if not function.get("name"):
        raise UnreadableError("a message holds a tool call without a name")
    arguments = function.get("arguments", function.get("input"))
    return ToolCall(
        id=as_text(fields.get("id") or ""),
        function=FunctionCall(
            name=as_text(function["name"]), arguments="" if arguments is None else as_text(arguments)
        ),
    )


def _flat(value: Any) -> str:
    """A tool's result as text: the texts of a list of text parts, or the JSON of other data."""
    texts = [part.get("text") for part in dicts(value)]
    return "\n".join(map(as_text, texts)) if texts and all(isinstance(text, str) for text in texts) else as_text(value)


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)
