"""Candidates of a model that thinks: thoughts are kept apart, judges see answers, and no answer is never compared."""

import json
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from conftest import prompt
from labelling import labelled
from preceptor.backends.base import CompleteRequest, Thinking
from preceptor.core.progress import Silence
from preceptor.core.types import JudgeFailure, Response
from preceptor.judging.recorded import RecordedModel
from preceptor.judging.specs import JudgeSpec
from preceptor.store.comparisons import ComparisonRow, read_comparisons
from preceptor.store.ledger import Ledger
from preceptor.tasks.candidates import Answering, Sampling, candidate_rater, sample_responses
from preceptor.tasks.evaluate.evaluate import evaluate
from thinkers import END, thinking_folder, thinking_model

ASKED = [prompt(f"Say {word}") for word in ("ant", "bee", "cow", "dog", "elk", "fox")]


@pytest.fixture(scope="module")
def thinker(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return thinking_folder(tmp_path_factory.mktemp("thinker"))


def read(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def sampled(folder: Path, **settings: Any) -> list[Response | JudgeFailure]:
    model = thinking_model()
    with Ledger(folder / "ledger.sqlite") as ledger:
        policy = RecordedModel(model, ledger, candidate_rater(model.identity))
        found = sample_responses(policy, ASKED, Answering(samples=3, max_new_tokens=5, **settings))
    return [response for of_prompt in found for response in of_prompt]


def test_a_thought_is_apart_and_one_that_did_not_end_has_no_answer(tmp_path: Path) -> None:
    thought = [response for response in sampled(tmp_path, thinking=12) if isinstance(response, Response)]
    assert len(thought) == 18
    unfinished = [response for response in thought if response.unfinished_thought]
    assert 0 < len(unfinished) < 18
    assert all(END not in (response.thought or "") for response in thought)
    assert {(response.text, response.finished) for response in unfinished} == {("", False)}
    plain = [response for response in sampled(tmp_path) if isinstance(response, Response)]
    assert {response.thought for response in plain} == {None}


def test_a_request_that_says_nothing_of_thoughts_is_the_one_of_before(tmp_path: Path) -> None:
    assert Answering().think(3) is None
    assert "thinking" not in Answering().model_dump()
    assert Answering(thinking="off").think(3) == Thinking("off")
    assert Answering(thinking=64).think(3) == Thinking(64, 3, plain_tags=True)
    with Ledger(tmp_path / "ledger.sqlite") as ledger:
        model = thinking_model()
        recorded = RecordedModel(model, ledger, candidate_rater(model.identity))
        for thinking in (Thinking(8, 3), Thinking(8, 3, plain_tags=True)):
            list(recorded.complete([CompleteRequest(ASKED[0].conversation, 4, thinking=thinking)]))
    with closing(sqlite3.connect(tmp_path / "ledger.sqlite")) as connection:
        calls = [json.loads(request) for (request,) in connection.execute("SELECT request FROM calls ORDER BY rowid")]
    assert [call["thinking"] for call in calls] == [
        {"level": 8, "seed": 3},
        {"level": 8, "seed": 3, "plain_tags": True},
    ]


def test_labels_keep_thoughts_in_columns_and_judges_see_answers(tmp_path: Path, thinker: Path) -> None:
    rows = tmp_path / "prompts.jsonl"
    rows.write_text("".join(json.dumps({"prompt": asked.text}) + "\n" for asked in ASKED))
    sampling = Sampling(policy=str(thinker), samples=4, max_new_tokens=5, thinking=20)
    judges = (JudgeSpec(model="scripted:random"),)
    labels = labelled(
        {"rows": rows, "out": tmp_path / "out", "judges": judges}, sampling=sampling, max_failure_rate=1.0
    )
    written, failed = read(tmp_path / "out/preferences.jsonl"), read(tmp_path / "out/failures.jsonl")
    assert len(written) + len(failed) == 36
    assert {row["reason"] for row in failed} == {"unfinished_thought"}
    assert labels.counts.preferences == len(written) > 0
    assert all(isinstance(row["chosen_thought"], str) and isinstance(row["rejected_thought"], str) for row in written)
    assert all(END not in row["chosen_thought"] for row in written)
    again = [row for row in read_comparisons(tmp_path / "out/preferences.jsonl") if isinstance(row, ComparisonRow)]
    assert all(row.comparison.a.thought is not None and row.comparison.b.thought is not None for row in again)
    assert len(again) == len(written)


def test_an_evaluation_compares_no_answer_as_the_empty_one_and_counts_it(tmp_path: Path, thinker: Path) -> None:
    rows = tmp_path / "prompts.jsonl"
    rows.write_text("".join(json.dumps({"prompt": asked.text}) + "\n" for asked in ASKED))
    result = evaluate(
        {"one": str(thinker), "other": str(thinker)},
        judge=JudgeSpec(model="scripted:random"),
        prompts=[rows],
        out=tmp_path / "out",
        answering=Answering(max_new_tokens=5, thinking=12),
        progress=Silence(),
    )
    one, other = result.policies
    assert one.unfinished_thoughts == other.unfinished_thoughts > 0
    assert (one.responses, one.failed) == (6, 0)
    [overall] = [each for each in result.win_rates if each.cohort is None]
    assert overall.wins + overall.ties + overall.losses == 6
    written = read(tmp_path / "out/responses/0-one.jsonl")
    assert sum(row["response"] == "" for row in written) >= one.unfinished_thoughts
