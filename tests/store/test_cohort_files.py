"""A file of prompts that grows, and what counts as the same prompt."""

import json
from pathlib import Path

import pytest

from preceptor.core.errors import PreceptorError, UsageError
from preceptor.core.types import FunctionCall, Message, ToolCall
from preceptor.store.cohort_files import Duplicates, add_to_cohort, read_cohort

LONG = [f"word{i}" for i in range(100)]


def asked(text: str, system: str = "") -> list[Message]:
    told = [Message(role="system", content=system)] if system else []
    return [*told, Message(role="user", content=text)]


def changed(words: list[str], count: int) -> str:
    """The words with some replaced, far apart from each other: three runs of three words each."""
    replaced = {10 + 20 * i: f"other{i}" for i in range(count)}
    return " ".join(replaced.get(i, word) for i, word in enumerate(words))


def test_case_and_white_space_make_no_difference() -> None:
    seen = Duplicates()
    assert seen.add(asked("Why does  bread\nrise?")) is None
    assert seen.add(asked(" why does bread RISE? ")) == "same"
    assert seen.add(asked("Why does dough rise?")) is None


def test_few_changed_words_make_a_near_duplicate() -> None:
    # 98 runs of three words; a changed word changes three: 95 / 101 = 0.94 in common, with two 92 / 104 = 0.88.
    seen = Duplicates()
    assert seen.add(asked(" ".join(LONG))) is None
    assert seen.add(asked(changed(LONG, 2))) is None
    assert seen.add(asked(changed(LONG, 1))) == "near"


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("What is 12 + 7?", "What is 12 - 7?"),
        ("What is the capital of France?", "What is the capital of Spain?"),
        ("At how many degrees Celsius does water boil?", "At how many degrees Fahrenheit does water boil?"),
        ("yes", "no"),
        ("猫はどこにいますか", "犬はどこにいますか"),
        ("?", "!"),
    ],
)
def test_small_differences_between_short_prompts_count(one: str, other: str) -> None:
    seen = Duplicates()
    assert [seen.add(asked(one)), seen.add(asked(other))] == [None, None]


def test_one_question_about_two_documents_is_two_prompts_and_so_are_two_under_one_instruction() -> None:
    seen, document = Duplicates(), " ".join(LONG)
    assert seen.add(asked("Summarise this.", document)) is None
    assert seen.add(asked("Summarise this.", " ".join(reversed(LONG)))) is None
    assert seen.add(asked("Translate this into French.", document)) is None
    assert seen.add(asked("Summarise this.", changed(LONG, 2))) is None
    assert seen.add(asked("Summarise this.", changed(LONG, 1))) == "near"


def test_the_ids_of_tool_calls_make_no_difference_and_their_arguments_do() -> None:
    def conversation(id_: str, arguments: str) -> list[Message]:
        call = ToolCall(id=id_, function=FunctionCall(name="add", arguments=arguments))
        return [*asked("add"), Message(role="assistant", tool_calls=(call,)), *asked("go on")]

    seen = Duplicates()
    assert seen.add(conversation("1", "{}")) is None
    assert seen.add(conversation("2", "{}")) == "same"
    assert seen.add(conversation("3", '{"a": 1}')) == "near"


def test_nearly_all_near_duplicates_are_found() -> None:
    seen = Duplicates()
    texts = [[f"{topic}-{word}" for word in LONG] for topic in range(200)]
    assert all(seen.add(asked(" ".join(words))) is None for words in texts)
    assert sum(seen.add(asked(changed(words, 1))) == "near" for words in texts) >= 198


def test_rows_are_added_behind_those_that_are_there(tmp_path: Path) -> None:
    path = tmp_path / "new" / "c.jsonl"
    assert read_cohort(path) == []
    add_to_cohort(path, [])
    assert not path.exists()
    add_to_cohort(path, [{"prompt": "ö", "id": "1"}])
    first = path.read_bytes()
    by_hand = first + b'{ "prompt":"by hand" ,"id": "2"}\r\n\n{"prompt": "without an end", "id": "3"}'
    path.write_bytes(by_hand)
    add_to_cohort(path, [{"prompt": "new", "id": "4"}])
    assert path.read_bytes() == by_hand + b"\n" + json.dumps({"prompt": "new", "id": "4"}).encode() + b"\n"
    assert [prompt.text for prompt in read_cohort(path)] == ["ö", "by hand", "without an end", "new"]


def test_a_cohort_that_is_none(tmp_path: Path) -> None:
    path = tmp_path / "c.jsonl"
    path.write_text("\n")
    assert read_cohort(path) == []
    path.write_text('{"text": "x"}\n')
    with pytest.raises(UsageError, match=r'c\.jsonl:1: unknown key "text"'):
        read_cohort(path)
    with pytest.raises(UsageError, match="the cohort cannot be read: Is a directory"):
        read_cohort(tmp_path)
    with pytest.raises(PreceptorError, match="cannot be written"):
        add_to_cohort(path / "c.jsonl", [{"prompt": "x"}])
