"""Recorded questions asked again at the start of a labelling or an audit."""

import json
import sqlite3
from pathlib import Path

import pytest

from preceptor.core.errors import PreceptorError, UsageError
from preceptor.core.progress import Silence
from preceptor.results.audit import AuditResult
from preceptor.tasks.audit import audit
from preceptor.tasks.label import label

ROWS = [{"prompt": f"q{i}", "response_a": f"one {i}", "response_b": f"two {i}", "label": "a"} for i in range(20)]


def as_if_by_another_model(ledger: Path) -> None:
    """Turns all recorded answers round, as a model that has been replaced would have given them."""
    with sqlite3.connect(ledger) as connection:
        for key, outcome in connection.execute("SELECT key, outcome FROM calls").fetchall():
            answer = json.loads(outcome)
            answer["log_probs"] = answer["log_probs"][::-1]
            connection.execute("UPDATE calls SET outcome = ? WHERE key = ?", [json.dumps(answer), key])


def test_an_audit_says_whether_the_model_is_the_same(tmp_path: Path) -> None:
    out = tmp_path / "out"
    first = audit(ROWS, judges="scripted:random", out=out, canary=10, progress=Silence())
    assert [check.verdict for check in first.drift] == ["cannot be known"]
    again = audit(ROWS, judges="scripted:random", out=out, canary=10, progress=Silence())
    [check] = again.drift
    assert (check.verdict, check.asked, check.failed, check.moved) == ("same", 10, 0, 0.0)
    assert AuditResult.load(out) == again
    assert "no change shown" in str(again)
    assert "no change shown" in again.report.read_text()
    as_if_by_another_model(out / "ledger.sqlite")
    changed = audit(ROWS, judges="scripted:random", out=out, canary=10, progress=Silence())
    assert changed.drift[0].verdict == "changed"
    assert "changed" in changed.warnings[0]


def test_a_labelling_stops_rather_than_mix_two_models(tmp_path: Path) -> None:
    out = tmp_path / "out"
    label(ROWS, judges=["scripted:random", "scripted:first"], out=out, limit=10, canary=10, progress=Silence())
    more = label(ROWS, judges=["scripted:random", "scripted:first"], out=out, limit=15, canary=10, progress=Silence())
    assert more.counts.preferences == 15
    as_if_by_another_model(out / "ledger.sqlite")
    with pytest.raises(PreceptorError, match="changed"):
        label(ROWS, judges=["scripted:random", "scripted:first"], out=out, canary=10, progress=Silence())
    assert len((out / "preferences.jsonl").read_text().splitlines()) == 15


def test_workers_on_a_cluster_ask_no_canary_questions(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="canary"):
        label(ROWS, judges="scripted:random", out=tmp_path / "out", canary=5, ray="local", progress=Silence())
