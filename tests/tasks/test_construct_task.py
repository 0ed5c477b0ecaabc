"""Constructed pairs from prompts to files and a result, on scripted models."""

import json
from pathlib import Path
from typing import Any

import pytest

from preceptor.core.errors import PreceptorError, UsageError
from preceptor.core.progress import Silence
from preceptor.results.construction import ConstructionResult
from preceptor.store.comparisons import ComparisonRow, read_comparisons
from preceptor.store.training_pairs import read_training_pairs
from preceptor.tasks.construct import construct

PROMPTS = ["What is one?", "What is two?", "What is three?"]
NO_DROPS = {"no changed prompt": 0, "changed prompt cut": 0, "same prompt": 0, "same answer": 0}


def rows(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_pairs_are_made_and_a_second_call_asks_nothing(tmp_path: Path) -> None:
    result = construct([*PROMPTS, " "], model="scripted:random", out=tmp_path / "out", progress=Silence())
    assert (result.prompts, result.malformed, result.pairs, result.failed) == (3, 1, 3, 0)
    assert (result.dropped, result.ledger.calls, result.failures) == (NO_DROPS, 9, ())
    assert json.loads((result.path / "summary.json").read_text()) == result.model_dump(mode="json")
    again = construct(PROMPTS, model="scripted:random", out=tmp_path / "out", progress=Silence())
    assert again.ledger.calls == 9
    assert ConstructionResult.load(tmp_path / "out").model_dump() == again.model_dump()
    assert "3 of 3 prompts" in str(again)
    assert again.to_preferences().num_rows == 3


def test_what_a_pair_says_of_itself(tmp_path: Path) -> None:
    prompt = {"id": "p", "cohort": "sums", "prompt": "What is one?"}
    result = construct([prompt], model="scripted:random", out=tmp_path / "out", progress=Silence())
    [row] = rows(result.path / "preferences.jsonl")
    [changed] = row.pop("changed_prompt")
    assert changed["content"] != "What is one?"
    assert row == {
        **{"id": "p", "cohort": "sums", "prompt": [{"role": "user", "content": "What is one?"}]},
        "chosen": [{"role": "assistant", "content": "What is one?"}],  # the scripted model repeats what it is asked
        "rejected": [{"role": "assistant", "content": changed["content"]}],
        **{"chosen_finished": True, "rejected_finished": True},
        **{"origin": "constructed", "model": "scripted:random"},
    }


def test_no_pair_counts_as_a_label_of_people(tmp_path: Path) -> None:
    result = construct(PROMPTS, model="scripted:random", out=tmp_path / "out", progress=Silence())
    read = [row for row in read_comparisons(result.path) if isinstance(row, ComparisonRow)]
    chosen_a = [row.comparison.a.text == row.comparison.prompt.text for row in read]
    assert [(row.human, row.ai_p_a) for row in read] == [(None, float(is_a)) for is_a in chosen_a]
    assert [pair.source for pair in read_training_pairs(result.path)[0]] == ["ai"] * 3
    assert read_training_pairs(result.path, labels="human")[0] == []


REPEATED = "/prompt>"
"""The end of the request for a changed prompt, which the scripted model repeats if its limit is eight characters."""


def test_what_was_dropped_is_counted_and_listed(tmp_path: Path) -> None:
    prompts = [{"id": "pair", "prompt": "Why?"}, {"id": "prompt", "prompt": REPEATED}]
    prompts.append({"id": "answer", "prompt": f"Why {REPEATED}"})
    result = construct(
        prompts, model="scripted:random", out=tmp_path, settings={"max_new_tokens": 8}, progress=Silence()
    )
    assert (result.pairs, result.dropped) == (1, NO_DROPS | {"same prompt": 1, "same answer": 1})
    assert result.ledger.calls == 3 + 2 * 2  # the prompt that stayed the same was not answered
    assert rows(tmp_path / "dropped.jsonl") == [
        {"id": "prompt", "reason": "same prompt", "changed_prompt": REPEATED},
        {"id": "answer", "reason": "same answer", "changed_prompt": REPEATED},
    ]
    assert "same prompt" in str(result)


def test_no_pair_at_all_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(PreceptorError, match=r"0 prompts failed.*1 were dropped.*same prompt"):
        construct([REPEATED], model="scripted:random", out=tmp_path, settings={"max_new_tokens": 8}, progress=Silence())


def test_nothing_to_construct(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"row 1 of the prompts given: .*1 unusable rows in all"):
        construct([{"question": "x"}], model="scripted:random", out=tmp_path / "out", progress=Silence())
    assert construct(PROMPTS, model="scripted:random", out=tmp_path / "out", progress=Silence()).prompts == 3
