"""Traces as OpenTelemetry's collector writes them, and reading them."""

import json
from pathlib import Path
from typing import Any

from preceptor.store.traces import Chat, Traces, read_traces

MODEL = {"gen_ai.operation.name": "chat", "gen_ai.request.model": "m"}


def typed(value: Any) -> dict[str, Any]:
    """A value as OTLP's JSON encoding types it."""
    match value:
        case bool():
            return {"boolValue": value}
        case int():
            return {"intValue": str(value)}
        case float():
            return {"doubleValue": value}
        case list():
            return {"arrayValue": {"values": [typed(each) for each in value]}}
        case dict():
            return {"kvlistValue": {"values": attributes(value)}}
        case _:
            return {"stringValue": value}


def attributes(values: dict[str, Any]) -> list[dict[str, Any]]:
    return [{"key": key, "value": typed(value)} for key, value in values.items()]


def span(
    values: dict[str, Any],
    events: dict[str, dict[str, Any]] | None = None,
    trace: str = "t",
    id_: str = "s",
    **more: Any,
) -> dict[str, Any]:
    told = [{"name": name.rstrip("_"), "attributes": attributes(fields)} for name, fields in (events or {}).items()]
    start = {"startTimeUnixNano": "1772442902500000000"}
    return {"traceId": trace, "spanId": id_, "attributes": attributes(values), "events": told, **start, **more}


def document(*spans: dict[str, Any]) -> dict[str, Any]:
    return {"resourceSpans": [{"resource": {}, "scopeSpans": [{"scope": {}, "spans": list(spans)}]}]}


def read(tmp_path: Path, *values: Any) -> Traces:
    path = tmp_path / "t.jsonl"
    path.write_text("".join((each if isinstance(each, str) else json.dumps(each)) + "\n" for each in values))
    return read_traces([path])


def told(chat: Chat) -> list[tuple[str, str]]:
    return [(message.role, message.content) for message in chat.conversation]


def text(role: str, content: str, **more: Any) -> dict[str, Any]:
    return {"role": role, "parts": [{"type": "text", "content": content}], **more}


def steps(trace: str, *lengths: int, **more: Any) -> list[dict[str, Any]]:
    """Calls of an agent that are given ever more of one conversation."""
    all_messages = [text("user", "Go.")] + [text(("assistant", "tool")[i % 2], f"step {i}") for i in range(6)]
    return [
        span(
            MODEL
            | {"gen_ai.input.messages": all_messages[:n], "gen_ai.output.messages": [text("assistant", f"after {n}")]},
            trace=trace,
            id_=f"s{n}",
            **more,
        )
        for n in lengths
    ]
