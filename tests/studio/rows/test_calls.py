"""The calls behind a row are found by asking its judge again; the ledger is only read."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from pydantic import JsonValue

import preceptor as pc
from backends.fault_server import TABLE, FaultServer, Script
from preceptor.core.types import JsonObject
from preceptor.studio.rows.calls import answer_of, calls_of, prompt_of, searched, totals

QUESTION: JsonObject = {"id": "r0", "prompt": "Why?", "response_a": 'He said "no"\n\\ ☃', "response_b": "Because."}
AGENT: list[JsonValue] = [
    {"role": "assistant", "content": "I look.", "tool_calls": [{"function": {"name": "look", "arguments": "{}"}}]},
    {"role": "tool", "name": "look", "content": "nothing"},
    {"role": "assistant", "content": "There is nothing."},
]


def label(folder: Path, rows: list[JsonObject], judges: Any, **settings: Any) -> pc.LabelResult:
    return pc.label(rows, judges=judges, out=folder / "labels", **settings)


@pytest.mark.parametrize(
    ("variant", "constitution", "operations"),
    [
        ("detailed", "helpful", [["choose"]] * 2),
        ("base+single", "helpful", [["choose"]]),
        ("detailed+sc-2", "helpful", [["complete", "choose"]] * 4),
        ("scored", "helpful", None),
        ("2-shot", "harmless", [["choose"]] * 2),
        ("each", "helpful", None),
    ],
)
def test_each_presentation_has_its_calls(
    tmp_path: Path, variant: str, constitution: str, operations: list[list[str]] | None
) -> None:
    judge = pc.Judge("scripted:random", constitution=constitution, variant=variant)
    labels = label(tmp_path, [QUESTION], [judge])
    [row] = labels
    found = calls_of(row, labels.path, labels.path)
    assert found.missing == []
    assert [asked.verdict for asked in found.groups] == list(row.verdicts)
    if operations is not None:
        assert [[call.operation for call in asked.calls] for asked in found.groups] == operations
    assert len(found.calls) == labels.ledger.calls
    all_ = totals(found.calls)
    assert (all_.prompt_tokens, all_.completion_tokens) == (
        labels.ledger.prompt_tokens,
        labels.ledger.completion_tokens,
    )
    assert all_.cost_usd == pytest.approx(labels.ledger.cost_usd)
    assert all_.attempts == 0
    assert all('He said "no"\n\\ ☃' in prompt_of(call) or "Because." in prompt_of(call) for call in found.calls)
    assert all(answer_of(call) for call in found.calls)


def test_failures_have_calls_and_failed_attempts_count(tmp_path: Path) -> None:
    rows: list[JsonObject] = [QUESTION | {"id": f"r{i}", "prompt": f"Number {i}?"} for i in range(3)]
    table = {**TABLE, "Preferred response:": {" 1": 0.6, " 2": 0.4}}
    faults = {"Number 1?": ["500"] * 2, "Number 2?": ["400"] * 2}  # one may work when it is asked again, one never does
    (tmp_path / "prices.toml").write_text("[tiny]\nprompt = 1.0\ncompletion = 2.0\n")
    connection = {"retries": 0, "concurrency": 1, "prices": tmp_path / "prices.toml"}
    with FaultServer(Script(table=table, faults=faults)) as server:
        begun = label(tmp_path, rows, f"openai:tiny@{server.url}", connection=connection, max_failure_rate=1.0)
        failed = {row.id: row for row in begun.failures}
        assert set(failed) == {"r1", "r2"}
        refused, broken = searched(failed["r2"], begun.path), searched(failed["r1"], begun.path)
        assert {(call.failed, call.attempt) for call in refused} == {(True, False)}
        assert {(call.failed, call.attempt) for call in broken} == {(True, True)}
        assert all("Number 1?" in prompt_of(call) and "500" in answer_of(call) for call in broken)
        labels = label(
            tmp_path, rows, f"openai:tiny@{server.url}", connection=connection, max_failure_rate=1.0, retry_failed=True
        )
    one = next(row for row in labels if row.id == "r1")
    found = calls_of(one, labels.path, labels.path)
    all_ = totals(found.calls + found.attempts)
    assert (all_.calls, all_.attempts) == (2, len(broken))
    assert all_.cost_usd == pytest.approx(sum(call.cost_usd or 0.0 for call in (*found.calls, *found.attempts)))
    assert searched(replace(failed["r2"], prompt=None, response_a=None, response_b=None), labels.path) == []


def test_every_judge_of_an_ensemble_has_its_own_calls(tmp_path: Path) -> None:
    judges = [pc.Judge("scripted:random", variant="detailed+cot"), pc.Judge("scripted:first", variant="base+single")]
    labels = label(tmp_path, [QUESTION], judges)
    [row] = labels
    found = calls_of(row, labels.path, labels.path)
    assert [(asked.verdict and asked.verdict.judge, len(asked.calls)) for asked in found.groups] == [
        ("scripted:random", 2), ("scripted:random", 2), ("scripted:first", 1)
    ]  # fmt: skip
    assert found.missing == []


def test_scores_of_steps_have_calls_too(tmp_path: Path) -> None:
    labels = label(
        tmp_path, [{"id": "t", "prompt": "Look.", "response_a": AGENT, "response_b": [*AGENT, *AGENT]}],
        "scripted:random", steps=True,
    )  # fmt: skip
    [row] = labels
    found = calls_of(row, labels.path, labels.path)
    assert found.missing == []
    assert [asked.response for asked in found.groups] == [None, None, "a", "b"]
    assert len(found.groups[3].calls) - len(found.groups[2].calls) == 2  # b has two steps of the assistant more
    assert len(found.calls) == labels.ledger.calls


def test_what_cannot_be_found_is_said(tmp_path: Path) -> None:
    labels = label(tmp_path, [QUESTION], "scripted:random")
    [row] = labels
    nowhere = calls_of(row, tmp_path, tmp_path)
    assert (nowhere.calls, len(nowhere.missing)) == ([], 1)
    unknown = row.model_copy(
        update={"verdicts": tuple(verdict.model_copy(update={"constitution_hash": "gone"}) for verdict in row.verdicts)}
    )
    assert "gone" in calls_of(unknown, labels.path, labels.path).missing[0]
    other = row.model_copy(update={"prompt": (row.prompt[0].model_copy(update={"content": "What?"}),)})
    found = calls_of(other, labels.path, labels.path)
    assert (found.groups, len(found.missing)) == ([], 1)
    assert len(searched(row, labels.path)) == 2
    assert searched(other, labels.path) == []
    for settings in ("[]", "{", "1", '{"judges": 3}', '{"order": "sideways"}'):
        broken = calls_of(row.model_copy(update={"settings": settings}), labels.path, labels.path)
        assert broken.missing


def test_reading_leaves_no_file_behind(tmp_path: Path) -> None:
    labels = label(tmp_path, [QUESTION], "scripted:random")
    before = {file: file.stat().st_mtime_ns for file in labels.path.iterdir()}
    [row] = labels
    assert calls_of(row, labels.path, labels.path).calls
    assert {file: file.stat().st_mtime_ns for file in labels.path.iterdir()} == before
