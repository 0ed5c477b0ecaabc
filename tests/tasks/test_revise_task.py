"""Critique and revision from prompts to files and a result, on scripted models."""

import json
from pathlib import Path
from typing import Any

import pytest

from preceptor.core.errors import UsageError
from preceptor.core.progress import Silence
from preceptor.results.revision import RevisionResult
from preceptor.tasks.revise import revise

PROMPTS = ["What is one?", "What is two?", "What is three?"]


def rows(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_prompts_in_memory_are_revised_and_a_second_call_asks_nothing(tmp_path: Path) -> None:
    result = revise([*PROMPTS, " "], model="scripted:random", out=tmp_path / "out", progress=Silence())
    assert (result.prompts, result.malformed, result.revised, result.failed) == (3, 1, 3, 0)
    pairs, demonstrations = rows(result.path / "preferences.jsonl"), rows(result.path / "sft.jsonl")
    assert len(pairs) == result.revised - result.unchanged
    assert [row["messages"][0]["content"] for row in demonstrations] == PROMPTS
    assert result.to_dataset().num_rows == 3
    assert result.failures == ()
    assert json.loads((result.path / "summary.json").read_text()) == result.model_dump(mode="json")
    again = revise(PROMPTS, model="scripted:random", out=tmp_path / "out", progress=Silence())
    assert again.ledger.calls == result.ledger.calls
    assert RevisionResult.load(tmp_path / "out").model_dump() == again.model_dump()
    assert "3, " in str(again)


def test_without_a_folder_the_files_live_as_long_as_the_result() -> None:
    result = revise(PROMPTS[:1], model="scripted:random", progress=Silence())
    folder = result.path
    assert (folder / "sft.jsonl").exists()
    del result
    assert not folder.exists()


def test_nothing_to_revise(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"row 1 of the prompts given: .*1 unusable rows in all"):
        revise([{"question": "x"}], model="scripted:random", out=tmp_path / "out", progress=Silence())
    assert revise(PROMPTS, model="scripted:random", out=tmp_path / "out", progress=Silence()).prompts == 3
