"""Reads what a model was asked in production and what it answered, from OpenTelemetry traces and chat logs.

The formats are recognised by content, line by line: documents of OTLP's JSON encoding (a file of one, or one on each
line as the collector's file exporter writes them; see `trace_spans` for the conventions), and chats as JSON lines or a
JSON list, with `messages` or with `prompt` and `response`.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from preceptor.core.errors import UsageError
from preceptor.core.types import Message
from preceptor.store.hub.names import is_on_hub
from preceptor.store.in_memory import place_of
from preceptor.store.reading import check_file, parse_json, why_not_json
from preceptor.store.rows import Malformed, read_raw_rows
from preceptor.store.trace_messages import UnreadableError, as_text, dicts, read_messages
from preceptor.store.trace_spans import (
    failures,
    finish_failures,
    has_negative_feedback,
    is_call,
    is_down,
    read_attributes,
    read_events,
    recorded,
)

FORMATS = (
    'OpenTelemetry traces in OTLP JSON ("resourceSpans", with the conventions for generative AI, OpenLLMetry or '
    'OpenInference), or chats as JSON lines with "messages", or "prompt" and "response"'
)
CAPTURE = (
    "have content recorded with OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT=SPAN_ONLY (before "
    "version 1.37 of the conventions: true), TRACELOOP_TRACE_CONTENT=true, or OPENINFERENCE_HIDE_INPUTS=false"
)
"""What to do if calls were traced without their content."""
_LOGS = (
    "log records are not read; have messages recorded on spans: "
    "OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT=SPAN_ONLY"
)


@dataclass(frozen=True)
class Chat:
    """One conversation with a model, up to the user's last message, and its outcome."""

    source: str
    """Name of the file."""
    conversation: tuple[Message, ...]
    """Ends with the user's last message."""
    answered: str | None
    """The model's answer; None if there was none, or if it was not recorded."""
    signals: frozenset[str]
    """Signs of failure in the record: "error", "length" (cut off), "content_filter", "negative_feedback",
    "retry"."""
    trace_id: str | None = None
    span_id: str | None = None
    id: str | None = None
    """The metadata of a row in a chat log."""
    time: str | None = None
    """When it was asked: ISO 8601, UTC. None if unknown."""
    model: str | None = None


@dataclass(frozen=True)
class Traces:
    """The contents of the files."""

    chats: list[Chat]
    """In the order of the files; each conversation of a trace once, at its longest."""
    calls: int
    """Number of calls of a model and of rows of a log; each chat has one or more."""
    without_content: int
    """Number of calls whose messages were not recorded."""
    malformed: list[Malformed]


@dataclass(frozen=True)
class _Step:
    """A call, within the work on one conversation."""

    given: tuple[Message, ...]
    """The model's input without instructions, which some layers do not record."""
    chat: Chat

    @property
    def rank(self) -> tuple[bool, bool, int]:
        """Orders several records of one call by how much they say."""
        return self.chat.answered is not None, "error" not in self.chat.signals, len(self.chat.conversation)


@dataclass
class _Reader:
    steps: dict[str, list[_Step]] = field(default_factory=dict[str, list[_Step]])
    """Steps by trace; no step is the beginning of another."""
    malformed: list[Malformed] = field(default_factory=list[Malformed])
    marks: dict[str, set[str]] = field(default_factory=dict[str, set[str]])
    """Signals that count for all of a trace."""
    calls: int = 0
    without_content: int = 0
    rows: int = 0

    def value(self, place: str, source: str, value: Any) -> None:
        """Reads one line or item of a file."""
        if isinstance(value, dict) and "resourceSpans" in value:
            spans = (
                span
                for resource in dicts(value["resourceSpans"])
                for scope in dicts(resource.get("scopeSpans"))
                for span in dicts(scope.get("spans"))
            )
            for span in spans:
                self._guarded(f"{place}: span {span.get('spanId')}", self._span, source, span)
        elif isinstance(value, dict) and ("messages" in value or "prompt" in value):
            self._guarded(place, self._row, source, value)
        elif isinstance(value, dict) and "resourceLogs" in value:
            self.refuse(place, _LOGS)
        else:
            self.refuse(place, f"expected {FORMATS}")

    def refuse(self, place: str, reason: str) -> None:
        """Records a row or span that cannot be used."""
        self.malformed.append(Malformed(self.rows, place, reason))
        self.rows += 1

    def _guarded(
        self, place: str, read: Callable[[str, str, dict[str, Any]], None], source: str, fields: dict[str, Any]
    ) -> None:
        try:
            read(place, source, fields)
        except UnreadableError as error:
            self.refuse(place, str(error))
        except RecursionError:
            self.refuse(place, "is nested too deeply")
        else:
            self.rows += 1

    def _span(self, place: str, source: str, span: dict[str, Any]) -> None:
        attributes, events = read_attributes(span.get("attributes")), read_events(span.get("events"))
        trace = str(span.get("traceId") or place)
        failed = failures(span.get("status"), attributes, events)
        if has_negative_feedback(attributes, events):
            # Later feedback has a span of its own, which links to the span that it rates.
            for about in [str(link["traceId"]) for link in dicts(span.get("links")) if "traceId" in link] or [trace]:
                self.marks.setdefault(about, set()).add("negative_feedback")
        if not is_call(attributes):
            if "error" in failed and not str(span.get("parentSpanId") or "").strip("0"):
                self.marks.setdefault(trace, set()).add("error")  # the whole request failed
            return
        self.calls += 1
        sides = recorded(attributes, events)
        if sides is None:
            self.without_content += 1
            return
        model = attributes.get("gen_ai.response.model") or attributes.get("gen_ai.request.model")
        chat = replace(
            _chat(source, *sides, failed),
            trace_id=_name(span.get("traceId")),
            span_id=_name(span.get("spanId")),
            time=_time(span.get("startTimeUnixNano")),
            model=_name(model or attributes.get("llm.model_name")),
        )
        given = tuple(message for message in sides[0] if message.role != "system")
        _join(self.steps.setdefault(trace, []), _Step(given, chat))

    def _row(self, place: str, source: str, row: dict[str, Any]) -> None:
        self.calls += 1
        asked = row["messages"] if "messages" in row else row["prompt"]
        answer = row.get("response")
        failed = finish_failures([row.get("finish_reason")]) | ({"error"} if row.get("error") else set[str]())
        if is_down(row.get("feedback")) or is_down(row.get("rating")) or row.get("rating") == 0:
            failed.add("negative_feedback")
        given, answered = read_messages(asked), read_messages(answer, "assistant")
        chat = replace(
            _chat(source, given, answered, failed),
            id=_name(row.get("id")),
            time=_time(row.get("time", row.get("timestamp"))),
            model=_name(row.get("model")),
        )
        self.steps[place] = [_Step(tuple(given), chat)]


def read_traces(paths: Iterable[Path]) -> Traces:
    """Reads traces and chat logs.

    Files of JSON lines are read a line at a time; what is kept is the longest record of each conversation. If
    the input of one call in a trace begins with all of the input of another, only the call that says more is kept, with
    the signs of failure of both.

    Raises: UsageError when a file cannot be read.
    """
    reader = _Reader()
    for path in paths:
        for place, value in _values(path):
            if isinstance(value, Malformed):
                reader.refuse(place, value.reason)
            else:
                reader.value(place, str(path) if is_on_hub(path) else path.name, value)
    chats = [
        replace(step.chat, signals=step.chat.signals | reader.marks.get(trace, set()))
        for trace, steps in reader.steps.items()
        for step in steps
    ]
    return Traces(chats, reader.calls, reader.without_content, reader.malformed)


def _join(steps: list[_Step], new: _Step) -> None:
    """Adds a call to those of its trace; it replaces a call that it continues."""
    for position, old in enumerate(steps):
        common = min(len(old.given), len(new.given))
        if old.given[:common] != new.given[:common]:
            continue
        again = len(old.given) == len(new.given)
        kept = max((old, new), key=lambda step: step.rank if again else len(step.given))
        signals = old.chat.signals | new.chat.signals
        if again and ("error" in old.chat.signals) != ("error" in new.chat.signals):
            signals |= {"retry"}  # not merely recorded by two layers: one of them failed
        steps[position] = _Step(kept.given, replace(kept.chat, signals=signals))
        return
    steps.append(new)


def _chat(source: str, given: list[Message], answered: list[Message], signals: set[str]) -> Chat:
    """Splits the messages after the user's last one.

    Raises: UnreadableError if there is no message of a user.
    """
    messages = [*given, *answered]
    asked = [i for i, message in enumerate(messages) if message.role == "user" and message.content.strip()]
    if not asked:
        raise UnreadableError("holds no message of a user")
    end = asked[-1] + 1
    texts = [message.content for message in messages[end:] if message.role == "assistant" and message.content.strip()]
    return Chat(source, tuple(messages[:end]), texts[-1] if texts else None, frozenset(signals))


def _values(path: Path) -> Iterator[tuple[str, Any]]:
    """Place and content of each line that is JSON, or of each item of a file that is one JSON list or object; of a
    dataset on the hub, each row as a chat.
    """
    if is_on_hub(path):
        yield from ((place, row if isinstance(row, Malformed) else _as_chat(row)) for place, row in read_raw_rows(path))
        return
    check_file(path, "the traces")
    try:
        with path.open("rb") as stream:
            first = next((line for line in stream if line.strip()), b"")
            if isinstance(_parse(first), dict):
                stream.seek(0)
                yield from _lines(path, stream)
                return
            stream.seek(0)
            whole = _parse(stream.read())
            if isinstance(whole, list):
                yield from ((f"{path}: item {number}", item) for number, item in enumerate(whole, start=1))
            elif isinstance(whole, dict):
                yield str(path), whole
            else:  # JSON lines after all, the first of them torn
                stream.seek(0)
                yield from _lines(path, stream)
    except OSError as error:
        raise UsageError(f"{path}: the traces cannot be read: {error.strerror or error}") from error


def _as_chat(row: dict[str, Any]) -> dict[str, Any]:
    """A row of a dataset as a row of a chat log."""
    whole = isinstance(row.get("messages"), list)
    return row if whole or "response" in row else row | {"response": row.get("reference")}


def _lines(path: Path, stream: Iterable[bytes]) -> Iterator[tuple[str, Any]]:
    return ((place_of(path, number), _parse(line)) for number, line in enumerate(stream, start=1) if line.strip())


def _parse(text: bytes) -> Any:
    try:
        return parse_json(text.decode("utf-8-sig"))
    except ValueError as error:
        return Malformed(0, "", why_not_json(error))


def _time(value: Any) -> str | None:
    """A time as ISO 8601 in UTC, from ISO 8601 (UTC if it names no zone) or from seconds, milliseconds, microseconds or
    nanoseconds since 1970, which are distinguished by their size. None if it is neither.
    """
    try:
        if isinstance(value, str) and not value.strip().isdecimal():
            moment = datetime.fromisoformat(value.strip())
            moment = moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
        else:
            number = float(value)
            if isinstance(value, bool) or not 0 < number < 1e21:
                return None
            while number > 1e11:
                number /= 1000
            moment = datetime.fromtimestamp(number, UTC)
    except (ValueError, TypeError, OverflowError, OSError):
        return None
    return moment.replace(tzinfo=None).isoformat(timespec="seconds") + "Z"


def _name(value: Any) -> str | None:
    return as_text(value) if value is not None and value != "" else None
