"""What a span recorded, in every convention, and the signs of failure on it."""

import json
from pathlib import Path
from typing import Any

import pytest

from otlp import MODEL, document, read, span, steps, text, told
from preceptor.store.traces import Traces

CURRENT = {
    "gen_ai.system_instructions": [{"type": "text", "content": "Be brief."}],
    "gen_ai.input.messages": [text("user", "Hi?")],
    "gen_ai.output.messages": [text("assistant", "Hello.", finish_reason="stop")],
}
OPEN_INFERENCE = {"openinference.span.kind": "LLM", "llm.model_name": "m"}
SHAPES: dict[str, dict[str, Any]] = {
    "structured attributes": span(MODEL | CURRENT),
    "attributes of JSON text": span(MODEL | {key: json.dumps(value) for key, value in CURRENT.items()}),
    "attributes of the details event": span(
        MODEL, {"gen_ai.client.inference.operation.details": {k: json.dumps(v) for k, v in CURRENT.items()}}
    ),
    "events with JSON content": span(
        MODEL,
        {
            "gen_ai.system.message": {"gen_ai.event.content": '{"role": "system", "content": "Be brief."}'},
            "gen_ai.user.message": {"gen_ai.event.content": '{"content": "Hi?"}'},
            "gen_ai.choice": {"gen_ai.event.content": '{"index": 0, "message": {"content": "Hello."}}'},
        },
    ),
    "events with attributes": span(
        MODEL,
        {
            "gen_ai.system.message": {"content": "Be brief."},
            "gen_ai.user.message": {"content": "Hi?", "role": "user"},
            "gen_ai.choice": {"index": 0, "finish_reason": "stop", "message": '{"content": "Hello."}'},
        },
    ),
    "content events": span(
        MODEL,
        {
            "gen_ai.content.prompt": {
                "gen_ai.prompt": '[{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Hi?"}]'
            },
            "gen_ai.content.completion": {"gen_ai.completion": '[{"role": "assistant", "content": "Hello."}]'},
        },
    ),
    "numbered attributes": span(
        {
            "llm.request.type": "chat",
            "gen_ai.request.model": "m",
            "gen_ai.prompt.0.role": "system",
            "gen_ai.prompt.0.content": "Be brief.",
            "gen_ai.prompt.1.role": "user",
            "gen_ai.prompt.1.content": '[{"type": "text", "text": "Hi?"}]',
            "gen_ai.completion.0.role": "assistant",
            "gen_ai.completion.0.content": "Hello.",
        }
    ),
    "OpenInference's messages": span(
        OPEN_INFERENCE
        | {
            "llm.input_messages.0.message.role": "system",
            "llm.input_messages.0.message.content": "Be brief.",
            "llm.input_messages.1.message.role": "user",
            "llm.input_messages.1.message.contents.0.message_content.type": "text",
            "llm.input_messages.1.message.contents.0.message_content.text": "Hi?",
            "llm.output_messages.0.message.role": "assistant",
            "llm.output_messages.0.message.content": "Hello.",
        }
    ),
    "OpenInference's values": span(
        OPEN_INFERENCE
        | {
            "input.mime_type": "application/json",
            "input.value": '{"messages": [{"role": "developer", "content": "Be brief."}, '
            '{"role": "user", "content": "Hi?"}], "model": "m"}',
            "output.mime_type": "application/json",
            "output.value": '{"choices": [{"index": 0, "message": {"role": "assistant", "content": "Hello."}}]}',
        }
    ),
}


@pytest.mark.parametrize("shape", SHAPES.values(), ids=list(SHAPES))
def test_a_call_in_every_convention(tmp_path: Path, shape: dict[str, Any]) -> None:
    traces = read(tmp_path, document(shape))
    assert (traces.calls, traces.without_content, traces.malformed) == (1, 0, [])
    [chat] = traces.chats
    assert told(chat) == [("system", "Be brief."), ("user", "Hi?")]
    assert (chat.answered, chat.signals, chat.model) == ("Hello.", frozenset(), "m")
    assert (chat.source, chat.trace_id, chat.span_id, chat.time) == ("t.jsonl", "t", "s", "2026-03-02T09:15:02Z")


TOOL = [
    {"role": "user", "content": "1 + 1?"},
    {"role": "assistant", "tool_calls": [{"id": "c", "function": {"name": "add", "arguments": '{"a": 1}'}}]},
    {"role": "tool", "tool_call_id": "c", "content": "2"},
    {"role": "user", "content": "And now?"},
]
TOOLS: dict[str, dict[str, Any]] = {
    "OpenAI": {"messages": TOOL},
    "Anthropic": {
        "messages": [
            TOOL[0],
            {"role": "assistant", "content": [{"type": "tool_use", "id": "c", "name": "add", "input": {"a": 1}}]},
            {
                "role": "user",
                "content": [
                    {"type": "tool_result", "tool_use_id": "c", "content": [{"type": "text", "text": "2"}]},
                    {"type": "text", "text": "And now?"},
                ],
            },
        ]
    },
    "OpenTelemetry": document(
        span(
            MODEL
            | {
                "gen_ai.input.messages": [
                    text("user", "1 + 1?"),
                    {
                        "role": "assistant",
                        "parts": [
                            {"type": "reasoning", "content": "hm"},
                            {"type": "tool_call", "id": "c", "name": "add", "arguments": {"a": 1}},
                        ],
                    },
                    {"role": "tool", "parts": [{"type": "tool_call_response", "id": "c", "response": 2}]},
                    text("user", "And now?"),
                ]
            }
        )
    ),
    "numbered": document(
        span(
            MODEL
            | {
                "gen_ai.prompt.0.role": "user",
                "gen_ai.prompt.0.content": "1 + 1?",
                "gen_ai.prompt.1.role": "assistant",
                "gen_ai.prompt.1.tool_calls.0.id": "c",
                "gen_ai.prompt.1.tool_calls.0.name": "add",
                "gen_ai.prompt.1.tool_calls.0.arguments": '{"a": 1}',
                "gen_ai.prompt.2.role": "tool",
                "gen_ai.prompt.2.tool_call_id": "c",
                "gen_ai.prompt.2.content": "2",
                "gen_ai.prompt.10.role": "user",
                "gen_ai.prompt.10.content": "And now?",
            }
        )
    ),
    "OpenInference": document(
        span(
            OPEN_INFERENCE
            | {
                "llm.input_messages.0.message.role": "user",
                "llm.input_messages.0.message.content": "1 + 1?",
                "llm.input_messages.1.message.role": "assistant",
                "llm.input_messages.1.message.tool_calls.0.tool_call.id": "c",
                "llm.input_messages.1.message.tool_calls.0.tool_call.function.name": "add",
                "llm.input_messages.1.message.tool_calls.0.tool_call.function.arguments": '{"a": 1}',
                "llm.input_messages.2.message.role": "tool",
                "llm.input_messages.2.message.tool_call_id": "c",
                "llm.input_messages.2.message.content": "2",
                "llm.input_messages.3.message.role": "user",
                "llm.input_messages.3.message.content": "And now?",
            }
        )
    ),
}


@pytest.mark.parametrize("value", TOOLS.values(), ids=list(TOOLS))
def test_tools_in_every_shape(tmp_path: Path, value: dict[str, Any]) -> None:
    [chat] = read(tmp_path, value).chats
    asked, called, result, last = chat.conversation
    assert (asked.content, last.content) == ("1 + 1?", "And now?")
    [call] = called.tool_calls
    assert (call.id, call.function.name, json.loads(call.function.arguments)) == ("c", "add", {"a": 1})
    assert (result.role, result.content, result.tool_call_id) == ("tool", "2", "c")


@pytest.mark.parametrize(
    ("more", "signal"),
    [
        ({"status": {"code": "STATUS_CODE_ERROR"}}, "error"),
        ({"values": {"error.type": "timeout"}}, "error"),
        ({"values": {"gen_ai.response.finish_reasons": ["length"]}}, "length"),
        ({"values": {"gen_ai.response.finish_reasons": '["max_tokens"]'}}, "length"),
        ({"values": {"llm.finish_reason": "content_filter"}}, "content_filter"),
        ({"values": {"gen_ai.completion.0.finish_reason": "SAFETY"}}, "content_filter"),
        ({"values": {"gen_ai.output.messages": [text("assistant", "", finish_reason="length")]}}, "length"),
        ({"events": {"gen_ai.choice": {"gen_ai.event.content": '{"finish_reason": "length"}'}}}, "length"),
        ({"values": {"http.request.resend_count": 2}}, "retry"),
        ({"values": {"gen_ai.response.finish_reasons": ["stop"], "http.request.resend_count": 0}}, None),
        ({"status": {"code": 1}}, None),
    ],
)
def test_signs_of_failure_on_a_span(tmp_path: Path, more: dict[str, Any], signal: str | None) -> None:
    values = MODEL | {"gen_ai.input.messages": [text("user", "Hi?")]} | more.get("values", {})
    [chat] = read(
        tmp_path, document(span(values, more.get("events"), **({"status": more["status"]} if "status" in more else {})))
    ).chats
    assert chat.signals == ({signal} if signal else set())


@pytest.mark.parametrize(
    ("said", "negative"),
    [
        ({"annotations.0.annotation.label": "thumbs-down", "annotations.0.annotation.annotator_kind": "HUMAN"}, True),
        ({"evaluations.0.evaluation.score": 0, "evaluations.0.evaluation.name": "user feedback"}, True),
        ({"trace.annotations.0.annotation.score": -1, "trace.annotations.0.annotation.annotator_kind": "HUMAN"}, True),
        ({"annotations.0.annotation.label": "thumbs-up", "annotations.0.annotation.annotator_kind": "HUMAN"}, False),
        ({"annotations.0.annotation.label": "bad", "annotations.0.annotation.annotator_kind": "LLM"}, False),
        # Nought and no are good here.
        (
            {
                "annotations.0.annotation.label": "no",
                "annotations.0.annotation.name": "toxicity",
                "annotations.0.annotation.annotator_kind": "HUMAN",
            },
            False,
        ),
        ({"annotations.0.annotation.label": "no", "annotations.0.annotation.name": "helpful"}, True),
        (
            {
                "annotations.0.annotation.score": 0,
                "annotations.0.annotation.name": "toxicity",
                "annotations.0.annotation.annotator_kind": "HUMAN",
            },
            False,
        ),
    ],
)
def test_feedback_on_any_span_of_the_trace(tmp_path: Path, said: dict[str, Any], negative: bool) -> None:
    root = span({"openinference.span.kind": "CHAIN", "input.value": "Hi?"} | said)
    expected = {"negative_feedback"} if negative else set[str]()
    assert [chat.signals for chat in read(tmp_path, document(*steps("t", 1), root)).chats] == [expected]
    later = span(said, trace="later", links=[{"traceId": "t", "spanId": "s"}])
    found = read(tmp_path, document(*steps("later", 1), *steps("t", 1)), document(later)).chats
    assert [(chat.trace_id, chat.signals) for chat in found] == [("later", set()), ("t", expected)]


def test_feedback_as_an_event_and_a_failed_request(tmp_path: Path) -> None:
    score = {"gen_ai.evaluation.name": "user_feedback", "gen_ai.evaluation.score.label": "down"}
    root = span({}, {"gen_ai.evaluation.result": score}, status={"code": 2})
    tool = span({"gen_ai.operation.name": "execute_tool"}, status={"code": 2}, parentSpanId="s0")
    assert read(tmp_path, document(*steps("t", 1), root)).chats[0].signals == {"negative_feedback", "error"}
    assert read(tmp_path, document(*steps("t", 1), tool)).chats[0].signals == set()


HIDDEN: list[dict[str, Any]] = [
    span(MODEL | {"gen_ai.usage.input_tokens": 3}),
    span(MODEL | {"gen_ai.prompt.0.role": "user", "gen_ai.completion.0.role": "assistant"}),
    span(MODEL, {"gen_ai.user.message": {"gen_ai.system": "openai"}, "gen_ai.choice": {"finish_reason": "stop"}}),
    span(
        OPEN_INFERENCE
        | {"llm.input_messages.0.message.role": "user", "llm.input_messages.0.message.content": "__REDACTED__"}
    ),
    span(OPEN_INFERENCE | {"input.value": "__REDACTED__"}),
]


@pytest.mark.parametrize("hidden", HIDDEN)
def test_calls_whose_content_was_not_recorded_are_counted(tmp_path: Path, hidden: dict[str, Any]) -> None:
    traces = read(tmp_path, document(hidden))
    assert (traces.calls, traces.without_content, traces.chats, traces.malformed) == (1, 1, [], [])


def test_what_is_no_call_is_passed_over(tmp_path: Path) -> None:
    others = [
        span({"http.request.method": "GET"}),
        span({"gen_ai.operation.name": "embeddings", "gen_ai.request.model": "m"}),
        span({"openinference.span.kind": "CHAIN", "input.value": "Hi?"}),
    ]
    assert read(tmp_path, document(*others)) == Traces([], 0, 0, [])
