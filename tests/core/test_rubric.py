"""Rubrics: what a file may say, what is left out of files, and what a hash depends on."""

from typing import Any

import pytest

from preceptor.core.errors import UsageError
from preceptor.core.rubric import Rubric, RubricItem, rubric_of
from preceptor.core.types import Message, Prompt

ASKED = (Message(role="user", content="Is this safe?"),)


def test_a_list_an_object_and_plain_sentences_are_rubrics() -> None:
    listed = rubric_of([{"criterion": "Says no.", "points": 3}, "Is short.", {"criterion": "Scolds.", "points": -2}])
    assert [item.points for item in listed.items] == [3, 1, -2]
    assert listed.possible == 4
    named = rubric_of({"name": "safety", "version": 2, "items": ["Is short."]})
    assert (named.name, named.version, named.items) == ("safety", 2, (RubricItem(criterion="Is short."),))


def test_a_class_gives_points_where_none_are_stated() -> None:
    items = rubric_of(
        [
            {"criterion": "a", "weight": "important"},
            {"criterion": "b", "weight": "pitfall"},
            {"criterion": "c", "weight": "pitfall", "points": -5},
        ]
    ).items
    assert [item.points for item in items] == [0.7, -0.9, -5]


@pytest.mark.parametrize(
    ("check", "by"),
    [
        ("judge", "judge"),
        ("reference", "reference"),
        ("checks.py:polite", "function"),
        ("package.checks:polite", "function"),
        ({"verifier": "words", "most": 100}, "verifier"),
    ],
)
def test_each_check_says_who_decides(check: Any, by: str) -> None:
    assert RubricItem(criterion="a", check=check).checked_by == by


@pytest.mark.parametrize(
    ("value", "words"),
    [
        ("text", ["rubric", "object"]),
        ([], ["at least 1 item"]),
        (["a", 3], ["item 2", "object"]),
        (["a", {"points": 3}], ["item 2", '"criterion" is missing']),
        (["a", {"criterio": "b"}], ["item 2", '"criterio"', '"criterion"']),
        (["a", {"criterion": " "}], ["item 2", "criterion"]),
        ([{"criterion": "a", "points": "2"}], ["item 1", "points", "number"]),
        ([{"criterion": "a", "points": 0}], ["item 1", "points", "other than 0"]),
        ([{"criterion": "a", "points": -1e-9}], ["item 1", "points", "0.001"]),
        ([{"criterion": "a", "points": -1}], ["positive points"]),
        ([{"criterion": "a", "weight": "huge"}], ["item 1", "weight", "essential"]),
        ([{"criterion": "a", "check": "jugde"}], ["item 1", "check", '"judge"']),
        ([{"criterion": "a", "check": {"verifer": "words"}}], ["item 1", "check", "verifier"]),
        ([{"criterion": "a", "check": 3}], ["item 1", "check", "verifier"]),
        ([{"criterion": "a", "check": {"verifier": "number", "tolerance": float("nan")}}], ["item 1", "check", "JSON"]),
        ([{"criterion": "a" * 10_001}], ["item 1", "criterion", "10000"]),
        (["a"] * 501, ["items", "500"]),
        ({"items": ["a"], "versoin": 1}, ["versoin"]),
    ],
)
def test_a_wrong_rubric_is_refused_with_its_item_and_what_was_expected(value: Any, words: list[str]) -> None:
    with pytest.raises(UsageError) as caught:
        rubric_of(value)
    assert all(word in str(caught.value) for word in words), str(caught.value)


def test_the_hash_is_that_of_what_can_change_a_judgement() -> None:
    rubric = rubric_of([{"criterion": "a", "points": 2}, {"criterion": "b", "points": 1}])
    same = rubric_of({"name": "x", "version": 3, "items": [{"criterion": "a", "points": 2.0, "tags": ["t"]}, "b"]})
    assert rubric.hash == same.hash
    others: list[Any] = [
        [{"criterion": "a", "points": 3}, "b"],
        [{"criterion": "A", "points": 2}, "b"],
        [{"criterion": "a", "points": 2, "check": {"verifier": "words", "most": 9}}, "b"],
        ["b", {"criterion": "a", "points": 2}],
    ]
    assert len({rubric.hash, *(rubric_of(other).hash for other in others)}) == 5
    longer = rubric.model_copy(update={"items": (*rubric.items, RubricItem(criterion="c"))})
    assert longer.hash != rubric.hash


def test_a_prompt_without_a_rubric_is_written_as_before() -> None:
    prompt = Prompt(id="1", conversation=ASKED)
    assert prompt.model_dump().keys() == {"id", "conversation", "cohort", "reference", "metadata"}
    assert prompt.model_dump_json() == Prompt(id="1", conversation=ASKED, rubric=None).model_dump_json()


def test_a_prompt_keeps_its_rubric_through_a_file_and_leaves_out_what_was_not_said() -> None:
    rubric = rubric_of([{"criterion": "a", "check": {"verifier": "words", "most": 9}, "tags": ["form"]}, "b"])
    prompt = Prompt(id="1", conversation=ASKED, rubric=rubric)
    written = prompt.model_dump(mode="json")
    assert written["rubric"]["items"][1] == {"criterion": "b", "points": 1.0}
    assert Prompt.model_validate(written) == prompt


def test_an_item_that_is_compared_with_a_reference_needs_one() -> None:
    rubric = Rubric(items=(RubricItem(criterion="a"), RubricItem(criterion="b", check="reference")))
    assert rubric.compared_with_reference == (1,)
    with pytest.raises(ValueError, match=r"item 2 .* reference"):
        Prompt(id="1", conversation=ASKED, rubric=rubric)
    assert Prompt(id="1", conversation=ASKED, reference="No.", rubric=rubric).rubric == rubric
