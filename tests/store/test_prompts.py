from pathlib import Path

import pytest

from preceptor.core.errors import UsageError
from preceptor.core.types import Prompt
from preceptor.store.prompts import read_prompt_rows, read_prompts, split_held_out, split_validation
from preceptor.store.rows import Malformed


def write(tmp_path: Path, text: str) -> str:
    path = tmp_path / "p.jsonl"
    path.write_text(text, encoding="utf-8")
    return str(path)


def test_both_forms_of_a_line(tmp_path: Path) -> None:
    source = write(
        tmp_path,
        '{"prompt": "one", "id": "a", "cohort": "x", "reference": "r"}\n\n'
        '{"conversation": [{"role": "system", "content": "s"}, {"role": "user", "content": "line\\u2028break"}]}\n',
    )
    first, second = read_prompts(source)
    assert (first.id, first.cohort, first.text, first.reference) == ("a", "x", "one", "r")
    assert len(second.conversation) == 2
    assert second.id


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "there is no prompt"),
        ('{"prompt": "a"}\n{"prompt": ', r"p\.jsonl:2: not a line of JSON"),
        ("[1]", r"p\.jsonl:1: expected a JSON object"),
        ('{"promt": "a"}', r'p\.jsonl:1: unknown key "promt"; did you mean "prompt"\?'),
        ('{"id": "a"}', 'expected either "prompt" or "conversation"'),
        ('{"prompt": 3}', r"p\.jsonl:1: conversation\.0\.content: expected a text, got 3"),
        ('{"prompt": "  "}', "a prompt ends with a message of the user that is not empty"),
        ('{"conversation": [{"role": "assistant", "content": "x"}]}', "a prompt ends with a message of the user"),
        ('{"prompt": "a", "id": "x"}\n{"prompt": "b", "id": "x"}', 'two prompts have the id "x"'),
    ],
)
def test_a_bad_file_is_named_with_its_line(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        read_prompts(write(tmp_path, text))


def test_a_missing_file(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="cannot be read: No such file"):
        read_prompts(str(tmp_path / "none.jsonl"))
    with pytest.raises(UsageError, match=r'did you mean "package:everyday_prompts"\?'):
        read_prompts("package:everyday_prompt")


def test_the_packaged_prompts() -> None:
    prompts = read_prompts("package:everyday_prompts")
    training, held_out = split_held_out(prompts, 0.2)
    assert len(prompts) == 300
    assert len(training) + len(held_out) == 300
    assert 45 <= len(held_out) <= 75
    assert {p.cohort for p in held_out} == {p.cohort for p in training}
    assert not {p.text for p in held_out} & {p.text for p in training}


def test_the_split_of_a_prompt_does_not_depend_on_the_others() -> None:
    prompts = read_prompts("package:everyday_prompts")
    _, held_out = split_held_out(prompts, 0.2)
    _, held_out_of_half = split_held_out(prompts[:150], 0.2)
    assert held_out_of_half == [p for p in held_out if p in prompts[:150]]


def test_the_packaged_references_have_answers_and_are_no_prompts() -> None:
    references = read_prompts("package:reference_answers")
    assert all(p.reference for p in references)
    assert not {p.text for p in references} & {p.text for p in read_prompts("package:everyday_prompts")}


def test_prompts_of_a_dataset_are_streamed_with_the_bad_ones_in_place(tmp_path: Path) -> None:
    source = write(
        tmp_path,
        '{"prompt": "one", "source": "ignored", "id": null}\n{"text": "two"}\n'
        '{"prompt": [{"role": "user", "content": "one", "name": null}]}\n{"prompt": "x", "metadata": 3}\n{',
    )
    first, second, third, fourth, fifth = read_prompt_rows(Path(source))
    assert isinstance(first, Prompt)
    assert first == third == read_prompts(write(tmp_path, '{"prompt": "one"}'))[0]
    for number, bad in ((1, second), (3, fourth), (4, fifth)):
        assert isinstance(bad, Malformed)
        assert (bad.number, bad.place) == (number, f"{source}:{number + 1}")
        assert source not in bad.reason


def test_held_out_prompts_are_split_once_by_their_texts() -> None:
    asked = [{"id": str(i), "conversation": [{"role": "user", "content": f"p{i}"}]} for i in range(40)]
    prompts = [Prompt.model_validate(each) for each in asked]
    validation, test = split_validation(prompts, 0.25, 3)
    assert (len(validation), len(test)) == (10, 30)
    assert {p.id for p in [*validation, *test]} == {p.id for p in prompts}
    again = split_validation(prompts[::-1], 0.25, 3)[0]
    assert {p.id for p in again} == {p.id for p in validation}
    few = split_validation(prompts[:7], 0.1, 3)
    assert [len(part) for part in few] == [3, 4]
    assert [len(part) for part in split_validation(prompts[:7], 0.9, 3)] == [4, 3]


def test_prompts_of_the_same_text_are_never_on_both_sides_of_the_split() -> None:
    asked = [{"id": str(i), "conversation": [{"role": "user", "content": f"p{i % 8}"}]} for i in range(40)]
    validation, test = split_validation([Prompt.model_validate(each) for each in asked], 0.3, 3)
    assert (len(validation), len(test)) == (15, 25)
    assert not {p.text for p in validation} & {p.text for p in test}


def test_the_short_prompts_are_the_everyday_ones_with_a_request() -> None:
    plain, short = read_prompts("package:everyday_prompts"), read_prompts("package:everyday_prompts_short")
    assert [f"{p.text} Answer in one short sentence." for p in plain] == [p.text for p in short]
    assert [p.cohort for p in plain] == [p.cohort for p in short]
