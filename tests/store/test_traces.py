"""Traces and chat logs, read into conversations."""

import json
import re
from pathlib import Path
from typing import Any

import pytest

from otlp import MODEL, document, read, span, steps, text, told
from preceptor.core.errors import UsageError
from preceptor.store.traces import read_traces

EXAMPLE = Path(__file__).parent.parent.parent / "examples" / "traces.json"


LOGS: dict[str, dict[str, Any]] = {
    "messages": {"messages": [{"role": "user", "content": "Hi?"}, {"role": "assistant", "content": "Hello."}]},
    "parts": {"messages": [{"role": "human", "content": [{"type": "text", "text": "Hi?"}]}], "response": "Hello."},
    "prompt": {"prompt": "Hi?", "response": "Hello."},
    "prompt of messages": {"prompt": [{"role": "user", "content": "Hi?"}], "response": {"content": "Hello."}},
}


@pytest.mark.parametrize("row", LOGS.values(), ids=list(LOGS))
def test_a_row_of_a_chat_log(tmp_path: Path, row: dict[str, Any]) -> None:
    [chat] = read(tmp_path, row | {"id": 7, "timestamp": "2026-03-02T10:15:02+01:00", "model": "m"}).chats
    assert told(chat) == [("user", "Hi?")]
    assert (chat.answered, chat.id, chat.time, chat.model) == ("Hello.", "7", "2026-03-02T09:15:02Z", "m")


def test_a_prompt_that_looks_like_json_is_a_text(tmp_path: Path) -> None:
    [chat] = read(tmp_path, {"prompt": '["Hi?"]', "response": '{"a": 1}'}).chats
    assert (told(chat), chat.answered) == ([("user", '["Hi?"]')], '{"a": 1}')


@pytest.mark.parametrize(
    ("time", "expected"),
    [
        ("2026-03-02T09:15:02Z", "2026-03-02T09:15:02Z"),
        ("2026-03-02 09:15:02", "2026-03-02T09:15:02Z"),
        (1772442902, "2026-03-02T09:15:02Z"),
        (1772442902.5, "2026-03-02T09:15:02Z"),
        (1772442902500, "2026-03-02T09:15:02Z"),
        ("1772442902500000", "2026-03-02T09:15:02Z"),
        ("yesterday", None),
        (0, None),
        (True, None),
        (None, None),
        (1e300, None),
    ],
)
def test_times(tmp_path: Path, time: Any, expected: str | None) -> None:
    assert read(tmp_path, {"prompt": "Hi?", "time": time}).chats[0].time == expected


def test_a_conversation_ends_with_the_user_and_the_last_text_behind_is_the_answer(tmp_path: Path) -> None:
    call = {"id": "c", "function": {"name": "add", "arguments": '{"a": 1}'}}
    messages = [
        {"role": "user", "content": "1 + 1?"},
        {"role": "assistant", "content": "3"},
        {"role": "user", "content": "Use the tool."},
        {"role": "assistant", "content": None, "tool_calls": [call]},
        {"role": "tool", "tool_call_id": "c", "content": "2"},
        {"role": "assistant", "content": "It is 2."},
    ]
    [chat] = read(tmp_path, {"messages": messages}).chats
    assert told(chat) == [("user", "1 + 1?"), ("assistant", "3"), ("user", "Use the tool.")]
    assert chat.answered == "It is 2."
    [unanswered] = read(tmp_path, {"messages": messages[:5]}).chats
    assert (unanswered.conversation, unanswered.answered) == (chat.conversation, None)


def test_of_an_agents_steps_the_longest_is_kept_whatever_their_order_and_lines(tmp_path: Path) -> None:
    one, three, five = steps("a", 1, 3, 5)
    other = span(MODEL | {"gen_ai.input.messages": [text("user", "Something else.")]}, trace="a")
    wrapper = span({**MODEL, "gen_ai.operation.name": "invoke_agent"}, trace="a")
    traces = read(tmp_path, document(three, wrapper), document(five, other), document(one, *steps("b", 1)))
    assert [(chat.trace_id, chat.span_id, chat.answered) for chat in traces.chats] == [
        ("a", "s5", "after 5"),
        ("a", "s", None),
        ("b", "s1", "after 1"),
    ]
    assert traces.calls == 5
    assert traces.chats[0].signals == frozenset()


def test_a_failed_step_marks_the_conversation_and_a_second_try_is_a_retry(tmp_path: Path) -> None:
    [one, three] = steps("a", 1, 3)
    one["status"] = {"code": 2}
    assert read(tmp_path, document(one, three)).chats[0].signals == {"error"}
    [again] = steps("a", 1)
    again["spanId"] = "again"
    for spans in ((one, again), (again, one)):
        assert read(tmp_path, document(*spans)).chats[0].span_id == "again"
    traces = read(tmp_path, document(one, again))
    assert [(chat.signals, chat.answered) for chat in traces.chats] == [({"error", "retry"}, "after 1")]
    assert read(tmp_path, document(again, again)).chats[0].signals == frozenset()  # recorded by two layers


@pytest.mark.parametrize(
    ("row", "signals"),
    [
        ({"feedback": -1}, {"negative_feedback"}),
        ({"feedback": "down"}, {"negative_feedback"}),
        ({"feedback": "👎"}, {"negative_feedback"}),
        ({"feedback": False}, {"negative_feedback"}),
        ({"rating": 0}, {"negative_feedback"}),
        ({"error": "timeout", "finish_reason": "length"}, {"error", "length"}),
        ({"feedback": 1, "rating": 5, "error": None, "finish_reason": "stop"}, set()),
        ({"feedback": None}, set()),
        ({"feedback": "up"}, set()),
    ],
)
def test_signs_of_failure_in_a_log(tmp_path: Path, row: dict[str, Any], signals: set[str]) -> None:
    assert read(tmp_path, {"prompt": "Hi?"} | row).chats[0].signals == signals


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        ('{"prompt": ', r"t\.jsonl:2: not a line of JSON"),
        ("[" * 100_000, r"t\.jsonl:2: not a line of JSON"),
        ({"text": "Hi?"}, r't\.jsonl:2: expected OpenTelemetry traces .* "messages", or "prompt" and "response"'),
        ({"resourceLogs": []}, r"t\.jsonl:2: log records are not read; have messages recorded on spans"),
        ({"messages": [{"role": "assistant", "content": "Hello."}]}, r"t\.jsonl:2: holds no message of a user"),
        ({"messages": [{"role": "customer", "content": "Hi?"}]}, r't\.jsonl:2: a message has the role "customer"'),
        ({"messages": 3}, r"t\.jsonl:2: expected a message, got int"),
        ({"prompt": [["Hi?"]]}, r"t\.jsonl:2: expected a message, got list"),
        (
            {"prompt": [{"role": "user", "content": [{"type": "image_url"}]}]},
            r't\.jsonl:2: .* part of type "image_url"',
        ),
        (
            document(span(MODEL | {"gen_ai.input.messages": [{"role": "user", "parts": [{"type": "blob"}]}]})),
            r't\.jsonl:2: span s: a message holds a part of type "blob"; only text and tool calls can be judged',
        ),
    ],
)
def test_what_cannot_be_used_keeps_its_place_and_the_rest_is_read(tmp_path: Path, value: Any, reason: str) -> None:
    traces = read(tmp_path, {"prompt": "one"}, value, {"prompt": "two"})
    assert [chat.conversation[-1].content for chat in traces.chats] == ["one", "two"]
    [bad] = traces.malformed
    assert re.match(rf".*{reason}", f"{bad.place}: {bad.reason}")


@pytest.mark.parametrize(
    "spans",
    [
        {"resourceSpans": 3},
        {"resourceSpans": [None, {"scopeSpans": "x"}, {"scopeSpans": [{"spans": {"a": 1}}]}]},
        document({"attributes": 3, "events": "x", "links": 4, "status": "ERROR"}),
        document({"attributes": [None, {"key": "gen_ai.operation.name"}, {"key": "x", "value": {"arrayValue": 3}}]}),
        document(span(MODEL | {"gen_ai.prompt.0": "x", "gen_ai.prompt.0.role": "user", "gen_ai.prompt.x": "y"})),
        document(span(MODEL | {"gen_ai.prompt" + ".a" * 5000: "x"})),
        document(span(MODEL | {f"gen_ai.prompt.{'9' * 5000}.role": "user"})),
    ],
)
def test_a_broken_document_breaks_nothing(tmp_path: Path, spans: dict[str, Any]) -> None:
    assert len(read(tmp_path, spans, {"prompt": "one"}).chats) == 1


def test_half_of_a_surrogate_pair_becomes_a_question_mark(tmp_path: Path) -> None:
    [chat] = read(tmp_path, '{"prompt": "a \\ud83d b", "model": "\\udc00", "response": "\\ud83d\\ude00"}').chats
    assert (chat.conversation[0].content, chat.model, chat.answered) == ("a ? b", "?", "😀")


def test_one_document_or_list_in_a_file_and_a_torn_first_line(tmp_path: Path) -> None:
    path = tmp_path / "t.json"
    path.write_text(json.dumps(document(*steps("a", 1)), indent=2))
    assert len(read_traces([path]).chats) == 1
    path.write_text(json.dumps([{"prompt": "one"}, 3, document(*steps("a", 1))]))
    traces = read_traces([path])
    assert len(traces.chats) == 2
    assert traces.malformed[0].place == f"{path}: item 2"
    path.write_text('{"prompt": "on\n{"prompt": "two"}\n')
    traces = read_traces([path])
    assert [told(chat) for chat in traces.chats] == [[("user", "two")]]
    assert traces.malformed[0].place == f"{path}:1"
    with pytest.raises(UsageError, match=r"none\.json: the traces cannot be read: No such file"):
        read_traces([tmp_path / "none.json"])
    with pytest.raises(UsageError, match="the traces cannot be read: Is a directory"):
        read_traces([tmp_path])


def test_the_example() -> None:
    traces = read_traces([EXAMPLE])
    assert (traces.calls, traces.without_content, traces.malformed) == (10, 1, [])
    assert [(chat.trace_id or "")[:4] for chat in traces.chats] == [
        *("a101", "a102", "a103", "a104", "a106", "b201", "c301")
    ]
    assert [sorted(chat.signals) for chat in traces.chats] == [
        *([], [], [], ["error", "retry"], [], ["negative_feedback"], ["length"])
    ]
