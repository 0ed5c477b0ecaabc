"""Rubrics in files of prompts and comparisons, and in the forms of other programs."""

import json
from pathlib import Path
from typing import Any

import pytest

from preceptor.core.errors import UsageError
from preceptor.store.comparisons import ComparisonRow, read_comparisons
from preceptor.store.prompts import parse_prompt, read_prompt_rows, read_prompts
from preceptor.store.responses import read_responses
from preceptor.store.rows import Malformed
from preceptor.store.rubrics import names_function, parse_rubric, read_rubric

ITEMS: list[Any] = [{"criterion": "Says no.", "points": 3}, {"criterion": "Scolds.", "points": -2, "tags": ["tone"]}]
HEALTH_BENCH: dict[str, Any] = {
    "example_tags": ["physician_agreed_category:x", "theme:hedging"],
    "ideal_completions_data": {"ideal_completion": "See a doctor.", "ideal_completions_group": "g"},
    "prompt": [
        {"role": "user", "content": "hi"},
        {"role": "assistant", "content": "yes?"},
        {"role": "user", "content": "my head hurts"},
    ],
    "prompt_id": "40a1",
    "rubrics": [
        {"criterion": "Advises to see a doctor.", "points": 7, "tags": ["level:example", "axis:accuracy"]},
        {"criterion": "Names a dose.", "points": -4, "tags": []},
    ],
    "canary": "do not train",
}


def lines(path: Path, *rows: dict[str, Any]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def test_a_prompt_file_has_rubrics_as_lists_and_as_objects(tmp_path: Path) -> None:
    named = {"name": "safety", "version": 2, "items": ITEMS}
    path = lines(
        tmp_path / "p.jsonl", {"prompt": "a", "rubric": ITEMS}, {"prompt": "b", "rubric": named}, {"prompt": "c"}
    )
    listed, as_object, without = read_prompts(str(path))
    assert listed.rubric and as_object.rubric
    assert [item.points for item in listed.rubric.items] == [3, -2]
    assert (as_object.rubric.name, as_object.rubric.version) == ("safety", 2)
    assert listed.rubric.hash == as_object.rubric.hash
    assert without.rubric is None


def test_a_rubric_does_not_change_the_id_of_its_prompt() -> None:
    assert parse_prompt({"prompt": "a", "rubric": ITEMS}, "").id == parse_prompt({"prompt": "a"}, "").id


@pytest.mark.parametrize(
    ("rubric", "message"),
    [
        ([*ITEMS, {"criterion": "x", "points": "4"}], r"p\.jsonl:2: rubric: item 3: points: expected a number"),
        ("safety", r"p\.jsonl:2: rubric: expected an object"),
        ([{"criterion": "x", "check": "reference"}], r"p\.jsonl:2: item 1 .* reference"),
    ],
)
def test_a_wrong_rubric_is_named_with_file_line_and_item(tmp_path: Path, rubric: Any, message: str) -> None:
    path = lines(tmp_path / "p.jsonl", {"prompt": "a"}, {"prompt": "b", "rubric": rubric})
    with pytest.raises(UsageError, match=message):
        read_prompts(str(path))
    [_, wrong] = read_prompt_rows(path)
    assert isinstance(wrong, Malformed)


def test_rows_of_comparisons_and_of_responses_have_rubrics(tmp_path: Path) -> None:
    pair = {"prompt": "a", "response_a": "x", "response_b": "y", "rubric": ITEMS}
    several = {"prompt": "b", "responses": ["x", "y"], "rubric": ITEMS}
    chosen = {"prompt": "c", "chosen": "x", "rejected": "y", "rubric": ITEMS}
    wrong = pair | {"rubric": ["only", 3]}
    *rows, malformed = read_comparisons(lines(tmp_path / "c.jsonl", pair, several, chosen, wrong))
    read = [row.comparison.prompt.rubric for row in rows if isinstance(row, ComparisonRow)]
    assert [rubric and rubric.possible for rubric in read] == [3, 3, 3]
    assert isinstance(malformed, Malformed)
    assert "item 2" in malformed.reason
    [(prompt, _)] = read_responses(lines(tmp_path / "r.jsonl", several))
    assert prompt.rubric is not None


def test_a_row_of_healthbench_is_a_prompt(tmp_path: Path) -> None:
    [prompt] = read_prompts(str(lines(tmp_path / "p.jsonl", HEALTH_BENCH)))
    assert (prompt.id, prompt.cohort, prompt.reference) == ("40a1", "hedging", "See a doctor.")
    assert len(prompt.conversation) == 3
    assert prompt.rubric is not None
    assert [item.points for item in prompt.rubric.items] == [7, -4]
    assert prompt.rubric.items[0].tags == ("level:example", "axis:accuracy")
    assert list(read_prompt_rows(tmp_path / "p.jsonl")) == [prompt]


def test_a_row_of_healthbench_with_odd_or_absent_fields_is_still_a_prompt() -> None:
    bare = {key: HEALTH_BENCH[key] for key in ("prompt", "rubrics")}
    odd = bare | {"example_tags": ["theme:", 3], "ideal_completions_data": [], "prompt_id": None}
    for row in (bare, odd):
        prompt = parse_prompt(row, "")
        assert prompt.rubric is not None
        assert (prompt.cohort, prompt.reference) == ("all", None)


def test_criteria_of_verifiers_and_of_autorubric_are_items() -> None:
    criteria = [{"name": "brief", "text": "Is it brief?", "weight": 2.0}, {"name": "kind", "text": "Is it kind?"}]
    theirs = parse_rubric({"criteria": criteria}).items
    assert [(item.criterion, item.points, item.tags) for item in theirs] == [
        ("Is it brief?", 2, ("brief",)),
        ("Is it kind?", 1, ("kind",)),
    ]
    required = [
        {"weight": 6.0, "requirement": "Cites."},
        {"weight": -3.0, "requirement": "Invents."},
        {"requirement": "x"},
    ]
    for form in (required, {"criteria": required}, {"rubric": required}, {"sections": required, "guidelines": None}):
        assert [item.points for item in parse_rubric(form).items] == [6, -3, 10]


@pytest.mark.parametrize(
    ("value", "words"),
    [
        ([{"name": "a", "text": "How good?", "choices": ["bad", "fair", "good"]}], ["item 1", "grades"]),
        ([{"requirement": "a"}, {"requirement": "b", "options": [{"label": "x", "value": 1}]}], ["item 2", "grades"]),
        ({"guidelines": "Be strict.", "criteria": [{"requirement": "a"}]}, ["guidelines"]),
        ({"criteria": "a"}, ["object"]),
    ],
)
def test_what_no_item_can_say_is_refused_in_words(value: Any, words: list[str]) -> None:
    with pytest.raises(UsageError) as caught:
        parse_rubric(value)
    assert all(word in str(caught.value) for word in words), str(caught.value)


def test_rubric_files_are_json_or_toml(tmp_path: Path) -> None:
    (tmp_path / "r.json").write_text(json.dumps(ITEMS), encoding="utf-8")
    (tmp_path / "r.toml").write_text(
        '[[criteria]]\nname = "a"\ntext = "Is it brief?"\nweight = 2.5\n', encoding="utf-8"
    )
    assert read_rubric(tmp_path / "r.json").possible == 3
    assert read_rubric(str(tmp_path / "r.toml")).possible == 2.5


@pytest.mark.parametrize(
    ("name", "text", "words"),
    [
        ("r.json", "{", ["r.json", "JSON"]),
        ("r.json", '[{"criterion": "a", "points": NaN}]', ["r.json", "NaN"]),
        ("r.json", "[" * 200 + "]" * 200, ["r.json", "nested"]),
        ("r.json", '["a", {"criterion": ""}]', ["r.json", "item 2", "criterion"]),
        ("r.toml", "a = ", ["r.toml"]),
        ("r.yaml", "a: b", ["r.yaml", ".json"]),
        ("r.json", None, ["r.json", "No such file"]),
    ],
)
def test_a_wrong_rubric_file_is_named(tmp_path: Path, name: str, text: str | None, words: list[str]) -> None:
    if text is not None:
        (tmp_path / name).write_text(text, encoding="utf-8")
    with pytest.raises(UsageError) as caught:
        read_rubric(tmp_path / name)
    assert all(word in str(caught.value) for word in words), str(caught.value)


@pytest.mark.parametrize(
    ("row", "named"),
    [
        ({"rubric": [{"criterion": "a", "check": "own.py:check"}]}, True),
        ({"rubric": {"items": ["a", {"criterion": "b", "check": "package:check"}]}}, True),
        ({"rubrics": [{"criterion": "a", "points": 1, "check": "own.py:check"}]}, True),
        ({"rubric": {"criteria": [{"criterion": "a", "check": "own.py:check"}]}}, True),
        ({"rubric": ITEMS}, False),
        ({"rubric": "own.py:check"}, False),
        ({}, False),
    ],
)
def test_rubrics_that_name_functions_are_told_apart(row: dict[str, Any], named: bool) -> None:
    assert names_function(row) is named
