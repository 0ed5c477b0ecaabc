"""OpenTelemetry spans of judging, by the conventions for generative AI (extra `otel`).

One span for the items of a request, with an event `gen_ai.evaluation.result` for each. Nothing is done unless the
extra is installed and an address for spans is set (OTEL_EXPORTER_OTLP_ENDPOINT).
"""

import os
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from importlib.metadata import version
from typing import Any

from preceptor.core.extras import OTEL, require
from preceptor.core.types import JudgeFailure, Preference, Score, Usage, likeliest, total_usage
from preceptor.serve.judges import ServedJudge

ENDPOINTS = ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT")
"""Environment variables of OpenTelemetry with the address to which spans are sent."""
_tracers: list[Any] = []
"""The tracer, once there is one."""


def trace(exporter: Any = None) -> Callable[[], None] | None:
    """Begins to record spans. Returns what ends it; None if the environment names no address to send them to.

    Args:
        exporter: where spans go; by default OTLP over HTTP to the address in the environment.

    Raises: UsageError where an address is set and a package is missing.
    """
    if exporter is None and not any(os.environ.get(name) for name in ENDPOINTS):
        return None
    require("sending spans needs", *OTEL, instead="or unset OTEL_EXPORTER_OTLP_ENDPOINT")
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor

    named = {"service.name": os.environ.get("OTEL_SERVICE_NAME", "preceptor"), "service.version": version("preceptor")}
    provider = TracerProvider(resource=Resource.create(named), shutdown_on_exit=False)
    provider.add_span_processor(BatchSpanProcessor(exporter or OTLPSpanExporter()))
    _tracers.append(provider.get_tracer("preceptor.serve"))

    def end() -> None:
        _tracers.clear()
        provider.shutdown()

    return end


@contextmanager
def judging(judge: ServedJudge, items: Sequence[Any]) -> Generator[Callable[[Sequence[Any]], None]]:
    """A span around the judging of some items. Call what it yields with the outcomes."""
    if not _tracers:
        yield lambda _outcomes: None
        return
    from opentelemetry.trace import SpanKind

    attributes = {
        "gen_ai.operation.name": "chat" if judge.model.chat else "text_completion",
        "gen_ai.provider.name": judge.spec.model.partition(":")[0],
        "gen_ai.request.model": judge.spec.model.partition(":")[2].partition("@")[0] or judge.spec.model,
        "preceptor.judge": judge.name,
        "preceptor.constitution.hash": judge.constitution.hash,
        "preceptor.items": len(items),
    }
    with _tracers[0].start_as_current_span(f"judge {judge.name}", kind=SpanKind.CLIENT, attributes=attributes) as span:

        def told(outcomes: Sequence[Preference | Score | JudgeFailure]) -> None:
            _tell(span, judge.name, outcomes)

        yield told


def _tell(span: Any, judge: str, outcomes: Sequence[Preference | Score | JudgeFailure]) -> None:
    usage = total_usage(_usage(outcome) for outcome in outcomes)
    span.set_attribute("gen_ai.usage.input_tokens", usage.prompt_tokens)
    span.set_attribute("gen_ai.usage.output_tokens", usage.completion_tokens)
    for outcome in outcomes:
        span.add_event("gen_ai.evaluation.result", {"gen_ai.evaluation.name": judge, **_result(outcome)})
    failures = [outcome for outcome in outcomes if isinstance(outcome, JudgeFailure)]
    if failures:
        span.set_attribute("error.type", failures[0].reason)


def _result(outcome: Preference | Score | JudgeFailure) -> dict[str, str | float]:
    if isinstance(outcome, JudgeFailure):
        return {"error.type": outcome.reason, "gen_ai.evaluation.explanation": outcome.detail}
    if isinstance(outcome, Score):
        return {"gen_ai.evaluation.score.value": outcome.expectation}
    label = likeliest(outcome.p_a, outcome.p_tie)
    return {"gen_ai.evaluation.score.value": outcome.p_a, "gen_ai.evaluation.score.label": label}


def _usage(outcome: Preference | Score | JudgeFailure) -> Usage:
    return outcome.verdict.usage if isinstance(outcome, Score) else outcome.usage
