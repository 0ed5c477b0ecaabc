"""Spans by OpenTelemetry's conventions for generative AI."""

from pathlib import Path

import pytest
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from preceptor.serve import spans
from serve_small import SKY, client


def test_a_request_is_a_span_with_its_results(tmp_path: Path) -> None:
    kept = InMemorySpanExporter()
    end = spans.trace(kept)
    assert end is not None
    with client(tmp_path) as asked:
        compared = asked.post("/v1/compare", json=SKY).json()
        asked.post("/v1/reward", json={"groups": [{"prompt": "x", "responses": ["y", "z"]}]})
    end()
    one, two = kept.get_finished_spans()
    assert one.attributes is not None
    assert one.attributes["gen_ai.operation.name"] == "chat"
    assert one.attributes["gen_ai.request.model"] == "random"
    assert one.attributes["gen_ai.usage.input_tokens"] == 2
    [result] = one.events
    assert result.name == "gen_ai.evaluation.result"
    assert result.attributes is not None
    assert result.attributes["gen_ai.evaluation.score.value"] == compared["p_a"]
    assert result.attributes["gen_ai.evaluation.score.label"] == compared["preferred"]
    assert len(two.events) == 2


def test_without_an_address_nothing_is_recorded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in spans.ENDPOINTS:
        monkeypatch.delenv(name, raising=False)
    assert spans.trace() is None
    with client(tmp_path) as asked:
        assert asked.post("/v1/compare", json=SKY).status_code == 200
