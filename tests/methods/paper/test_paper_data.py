"""People's comparisons: dealt by prompt, and one of each prompt before the second of any."""

import json
from pathlib import Path

import pytest

from killing import calls
from paper_small import WORDS, write_preferences
from preceptor.core.errors import UsageError
from preceptor.core.progress import Silence
from preceptor.methods.paper.asking import asked
from preceptor.methods.paper.data import PaperData, needed, open_data, write_people
from preceptor.methods.paper.scales import SCALES
from preceptor.methods.paper.table import Setup, Work


def _rows(path: Path) -> list[dict[str, object]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def _write(path: Path, rows: list[dict[str, object]]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def _row(prompt: int, response: int, **changes: object) -> dict[str, object]:
    return {"prompt": f"Q{prompt}", "response_a": f"yes {response}", "response_b": "no", "label": "a"} | changes


def test_each_prompt_is_drawn_once_before_any_is_drawn_twice(tmp_path: Path) -> None:
    file = _write(tmp_path / "people.jsonl", [_row(prompt, k) for prompt in range(20) for k in range(30)])
    write_people("helpful", file, SCALES["tiny"], 0, tmp_path / "out")
    training, held_out = (_rows(tmp_path / "out" / name) for name in ("training.jsonl", "held_out.jsonl"))
    prompts = [{str(row["prompt"]) for row in rows} for rows in (training, held_out)]
    assert not prompts[0] & prompts[1]
    assert len(prompts[0]) + len(prompts[1]) == 20  # every prompt is in, though 16 and 32 rows would fit in two
    assert len(training) == 16
    assert len(held_out) == 32


def test_ties_and_long_rows_are_left_out_and_opinions_kept(tmp_path: Path) -> None:
    rows = [_row(n, 0) for n in range(12)]
    rows += [_row(50, 0, label="tie"), _row(51, 0, response_a="long " * 200)]
    rows += [_row(52, 0, label=None, ratings=["a", "a", "tie"]), _row(53, 0, label=0.25)]
    write_people("helpful", _write(tmp_path / "people.jsonl", rows), SCALES["tiny"], 3, tmp_path / "out")
    kept = _rows(tmp_path / "out/training.jsonl") + _rows(tmp_path / "out/held_out.jsonl")
    assert len(kept) == 14
    by_prompt = {str(row["prompt"]): row for row in kept}
    assert any(row.get("ratings") == ["a", "a", "tie"] for row in kept)
    assert any(row.get("label") == 0.25 for row in kept)
    assert not any("Q50" in prompt or "Q51" in prompt for prompt in by_prompt)


def test_files_are_found_by_their_names(tmp_path: Path) -> None:
    _write(tmp_path / "helpful/preferences.jsonl", [_row(0, 0)])
    _write(tmp_path / "harmless/preferences.jsonl", [_row(0, 0)])
    data = open_data(tmp_path)
    assert data.tasks_with("preferences") == ["helpful", "harmless"]
    assert data.stand_in("preferences") == "helpful"
    assert data.stand_in("demonstrations") is None
    assert sorted(data.files) == ["harmless/preferences.jsonl", "helpful/preferences.jsonl"]
    assert "summaries/prompts.jsonl" in needed("summaries", "prompts")


def test_too_little_data_is_said(tmp_path: Path) -> None:
    file = _write(tmp_path / "people.jsonl", [_row(0, 0)])
    with pytest.raises(UsageError, match="too few to hold some out"):
        write_people("helpful", file, SCALES["tiny"], 0, tmp_path / "out")
    with pytest.raises(UsageError, match="is not a folder"):
        open_data(file)
    assert PaperData(tmp_path).files == {}


def test_where_only_some_are_audited_the_others_are_labelled_and_nothing_is_asked_twice(tmp_path: Path) -> None:
    words = [f"{word}{n}" for word in WORDS for n in range(2)]
    data = open_data(write_preferences(tmp_path / "data", "helpful", words=words))
    scale = SCALES["paper"].model_copy(update={"audited": {"helpful": 0.5}})
    judge = asked("scripted:random", "helpful", scale, "base")
    setup = Setup("embedded", ("scripted:random",), data, scale)
    work = Work(setup, tmp_path / "out", tmp_path / "out", Silence(), {"helpful": [judge]})
    (tmp_path / "out").mkdir()
    training = _rows(work.people("helpful") / "training.jsonl")
    labels = work.labels_file("helpful", judge)
    assert {row["id"] for row in _rows(labels)} == {row["id"] for row in training}
    assert work.audit("helpful")[judge].rows == (len(training) + 1) // 2
    audited, all_calls = calls(tmp_path / "out/audits/helpful"), calls(labels.parent)
    assert len(audited) == 2 * ((len(training) + 1) // 2)  # both orders
    assert len(all_calls) == 2 * len(training)
    assert set(audited) <= set(all_calls)  # copied
    assert work.labels_file("helpful", judge) == labels
