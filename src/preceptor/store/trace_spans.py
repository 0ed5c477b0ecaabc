"""Reads what a span recorded about a call of a model: the messages, and signs of failure.

Spans are in OTLP's JSON encoding. A span may follow any of three conventions for content:

- OpenTelemetry's for generative AI: the attributes `gen_ai.input.messages`, `gen_ai.output.messages` and
  `gen_ai.system_instructions`, as text or structured, on the span or on its `gen_ai.client.inference.operation.details`
  event; before version 1.37 events `gen_ai.user.message`, `gen_ai.choice` and so on; before that the events
  `gen_ai.content.prompt` and `gen_ai.content.completion`;
- OpenLLMetry's numbered attributes, `gen_ai.prompt.0.content`;
- OpenInference's, `llm.input_messages.0.message.content`, or `input.value` of a span of kind LLM.
"""

import re
from typing import Any

from preceptor.core.types import Message
from preceptor.store.trace_messages import Role, decoded, dicts, read_instructions, read_messages

_OTHER_WORK = ("embeddings", "execute_tool", "create_agent", "retrieval")
_CONTENT = ("gen_ai.input.messages", "gen_ai.prompt", "llm.input_messages", "gen_ai.request.model", "llm.request.type")
_DETAILS = "gen_ai.client.inference.operation.details"
_EVENTS: dict[str, Role] = {
    "gen_ai.system.message": "system",
    "gen_ai.user.message": "user",
    "gen_ai.assistant.message": "assistant",
    "gen_ai.tool.message": "tool",
}
_NOTHING = ("", "__REDACTED__")
"""Placeholders in messages whose content was not recorded; the second is OpenInference's."""
_CUT = ("length", "max_tokens", "max_output_tokens", "model_length")
_FILTERED = ("content_filter", "content_filtered", "safety", "prohibited_content", "blocklist")
_DOWN = re.compile(
    r"(?:thumbs?[ _-]?)?down|👎\S?|negative|bad|poor|dislike[ds]?|wrong|incorrect|(?:not |un)helpful|no|false|failed",
    re.IGNORECASE,
)
_ABOUT_QUALITY = re.compile(r"feedback|thumb|rating|helpful|correct|quality|satisf|vote", re.IGNORECASE)
_Sides = tuple[list[Message], list[Message]]

Attributes = dict[str, Any]
Event = tuple[str, Attributes]
"""Name and attributes."""


def read_attributes(raw: Any) -> Attributes:
    """The attributes of a span or event by name, from OTLP's list of keys and typed values."""
    return {str(attribute["key"]): _value(attribute.get("value")) for attribute in dicts(raw) if "key" in attribute}


def read_events(raw: Any) -> list[Event]:
    """The events of a span, in order."""
    return [(str(event.get("name")), read_attributes(event.get("attributes"))) for event in dicts(raw)]


def is_call(attributes: Attributes) -> bool:
    """Whether the span records a call of a chat model, or an agent that makes such calls."""
    kind = attributes.get("openinference.span.kind")
    if kind is not None:
        return kind == "LLM"
    operation = attributes.get("gen_ai.operation.name")
    if operation is not None and str(operation).startswith("invoke_"):
        return "gen_ai.input.messages" in attributes  # often without, and the calls within it have them
    if operation is not None:
        return operation not in _OTHER_WORK
    return any(key.startswith(_CONTENT) for key in attributes)


def recorded(attributes: Attributes, events: list[Event]) -> _Sides | None:
    """The input and output messages of a call. None if its content was not recorded.

    Raises: UnreadableError for messages that cannot be used.
    """
    for read in (_as_attributes, _as_events, _as_content_events, _numbered, _as_values):
        given, answered = read(attributes, events)
        if any(message.tool_calls or message.content.strip() not in _NOTHING for message in given):
            return given, answered
    return None


def failures(status: Any, attributes: Attributes, events: list[Event]) -> set[str]:
    """The signs of failure in a call's own span: "error", "length", "content_filter", "retry"."""
    signals: set[str] = set()
    code = status.get("code") if isinstance(status, dict) else None
    if code in {2, "2", "STATUS_CODE_ERROR"} or attributes.get("error.type"):
        signals.add("error")
    signals |= finish_failures(_finish_reasons(attributes, events))
    if str(attributes.get("http.request.resend_count", 0)) not in {"0", "None"}:
        signals.add("retry")
    return signals


def finish_failures(reasons: list[Any]) -> set[str]:
    """The signs of failure among a model's finish reasons, under the names that several providers use."""
    said = {str(reason).casefold() for reason in reasons}
    signals = {"length"} if said & set(_CUT) else set[str]()
    return signals | {"content_filter"} if said & set(_FILTERED) else signals


def has_negative_feedback(attributes: Attributes, events: list[Event]) -> bool:
    """Whether a person rated the answer as bad: in annotations and evaluations of a span or trace (OpenInference) by a
    `HUMAN`, or, if no author is given, in those and in evaluation events (OpenTelemetry) whose name is about feedback.
    """
    given: list[dict[str, Any]] = []
    for form in ("annotation", "evaluation"):
        for prefix in (f"{form}s", f"trace.{form}s"):
            given += dicts([score.get(form) for score in dicts(_nested(attributes, prefix))])
    for name, fields in events:
        if name == "gen_ai.evaluation.result":
            score = {"score": fields.get("gen_ai.evaluation.score.value")}
            label = {"label": fields.get("gen_ai.evaluation.score.label")}
            given.append({"name": fields.get("gen_ai.evaluation.name")} | score | label)
    return any(_is_negative(score) for score in given)


def is_down(value: Any) -> bool:
    """Whether a person's feedback is negative: false, a number below 0, or a word for it such as "down"."""
    if isinstance(value, bool):
        return not value
    if isinstance(value, int | float):
        return value < 0
    return isinstance(value, str) and _DOWN.fullmatch(value.strip()) is not None


def _is_negative(feedback: dict[str, Any]) -> bool:
    about_quality = _ABOUT_QUALITY.search(str(feedback.get("name"))) is not None
    kind = feedback.get("annotator_kind")
    if kind != "HUMAN" and not (kind is None and about_quality):
        return False
    label, score = feedback.get("label"), feedback.get("score")
    # Which end of a scale is good depends on what is measured: 0 and "no" are a bad rating, but a good toxicity.
    if label is not None:
        return is_down(label) and (about_quality or str(label).casefold() not in {"no", "false"})
    return isinstance(score, int | float) and (score < 0 or (score == 0 and about_quality))


def _value(raw: Any) -> Any:
    if not isinstance(raw, dict) or not raw:
        return None
    kind, value = next(iter(raw.items()))
    if kind == "arrayValue":
        return [_value(item) for item in dicts(value.get("values"))] if isinstance(value, dict) else None
    if kind == "kvlistValue":
        return read_attributes(value.get("values")) if isinstance(value, dict) else None
    if kind == "intValue" and isinstance(value, str):
        return int(value) if re.fullmatch(r"-?\d{1,20}", value) else None
    return value


def _as_attributes(attributes: Attributes, events: list[Event]) -> _Sides:
    merged = dict(attributes)
    for name, fields in events:
        if name == _DETAILS:
            merged |= fields
    given = read_messages(decoded(merged.get("gen_ai.input.messages")))
    if not given:
        return [], []
    instructions = read_instructions(decoded(merged.get("gen_ai.system_instructions")))
    return [*instructions, *given], read_messages(decoded(merged.get("gen_ai.output.messages")), "assistant")


def _as_events(_: Attributes, events: list[Event]) -> _Sides:
    given: list[Message] = []
    answered: list[Message] = []
    for name, fields in events:
        if name in _EVENTS:
            body = _body(fields)
            given += read_messages([body], _EVENTS[name]) if _has_content(body) else []
        elif name == "gen_ai.choice":
            body = _body(fields)
            answered += read_messages([body], "assistant") if _has_content(body) else []
    return given, answered


def _body(fields: Attributes) -> dict[str, Any]:
    """The message in an event: from `gen_ai.event.content`, or from separate attributes."""
    whole = decoded(fields.get("gen_ai.event.content"))
    if whole is not None:
        return whole if isinstance(whole, dict) else {"content": whole}
    return {key: decoded(value) if key in {"message", "tool_calls"} else value for key, value in fields.items()}


def _has_content(body: dict[str, Any]) -> bool:
    """Whether the event has content; without capture of content, events hold only roles."""
    inner = body["message"] if isinstance(body.get("message"), dict) else body
    return any(inner.get(key) for key in ("content", "parts", "tool_calls"))


def _as_content_events(attributes: Attributes, events: list[Event]) -> _Sides:
    merged = dict(attributes)
    for name, fields in events:
        if name in {"gen_ai.content.prompt", "gen_ai.content.completion"}:
            key = name.replace("content.", "")
            merged[key] = fields.get(key, fields.get("gen_ai.event.content"))
    given = read_messages(decoded(merged.get("gen_ai.prompt")))
    return given, read_messages(decoded(merged.get("gen_ai.completion")), "assistant")


def _numbered(attributes: Attributes, _: list[Event]) -> _Sides:
    for given, answered in (("gen_ai.prompt", "gen_ai.completion"), ("llm.input_messages", "llm.output_messages")):
        messages = read_messages(dicts(_nested(attributes, given)))
        if messages:
            return messages, read_messages(dicts(_nested(attributes, answered)), "assistant")
    return [], []


def _as_values(attributes: Attributes, _: list[Event]) -> _Sides:
    if attributes.get("openinference.span.kind") != "LLM":
        return [], []
    sides: list[Any] = []
    for side in ("input", "output"):
        value = attributes.get(f"{side}.value")
        sides.append(decoded(value) if attributes.get(f"{side}.mime_type") == "application/json" else value)
    return read_messages(sides[0]), read_messages(sides[1], "assistant")


def _finish_reasons(attributes: Attributes, events: list[Event]) -> list[Any]:
    said = decoded(attributes.get("gen_ai.response.finish_reasons"))
    reasons: list[Any] = said if isinstance(said, list) else [said]
    reasons.append(attributes.get("llm.finish_reason"))
    answers = dicts(decoded(attributes.get("gen_ai.output.messages"))) + dicts(_nested(attributes, "gen_ai.completion"))
    answers += [_body(fields) for name, fields in events if name == "gen_ai.choice"]
    return [*reasons, *(answer.get("finish_reason") for answer in answers)]


def _nested(attributes: Attributes, prefix: str) -> Any:
    """Builds the nested list of objects that attributes such as `prefix.0.message.role` encode."""
    root: dict[str, Any] = {}
    for key, value in attributes.items():
        if key.startswith(f"{prefix}."):
            *path, last = key.removeprefix(f"{prefix}.").split(".")
            place: Any = root
            for part in path:
                place = place.setdefault(part, {}) if isinstance(place, dict) else None
            if isinstance(place, dict):
                place.setdefault(last, value)
    return _listed(root)


def _listed(value: Any) -> Any:
    if not isinstance(value, dict):
        return value
    inner = {key: _listed(inner_value) for key, inner_value in value.items()}
    if inner and all(key.isdecimal() and len(key) < 10 for key in inner):
        return [inner[key] for key in sorted(inner, key=int)]
    return inner
