"""The record of the prompts that a judge was taught on."""

from pathlib import Path

import pytest

from preceptor.backends.names import ADAPTERS
from preceptor.core.errors import PreceptorError
from preceptor.core.types import Message, Prompt
from preceptor.judging.learnt import LEARNT, learnt_by, was_learnt, write_learnt
from preceptor.store.files import write_json


def asked(text: str) -> Prompt:
    return Prompt(id=f"id of {text}", conversation=(Message(role="user", content=text),))


def test_a_prompt_is_known_by_its_text_and_a_model_without_a_record_learnt_nothing(tmp_path: Path) -> None:
    write_learnt(tmp_path, [asked("one"), asked("two"), asked("one")], "embedded")
    learnt = learnt_by(str(tmp_path))
    assert len(learnt) == 2
    assert was_learnt(asked("two").model_copy(update={"id": "another"}), learnt)
    assert not was_learnt(asked("three"), learnt)
    assert learnt_by("embedded") == learnt_by("openai:gpt-4o-mini") == frozenset()


def test_adapters_know_what_their_base_was_taught(tmp_path: Path) -> None:
    judge, adapters = tmp_path / "judge", tmp_path / "adapters"
    judge.mkdir()
    adapters.mkdir()
    write_learnt(judge, [asked("one")], "embedded")
    write_json(adapters / ADAPTERS, {"base_model_name_or_path": str(judge)})
    assert learnt_by(str(adapters)) == learnt_by(str(judge))
    write_json(adapters / ADAPTERS, {"base_model_name_or_path": str(adapters)})
    assert learnt_by(str(adapters)) == frozenset()


def test_a_damaged_record_is_an_error_in_words(tmp_path: Path) -> None:
    (tmp_path / LEARNT).write_text("{}")
    with pytest.raises(PreceptorError, match=LEARNT):
        learnt_by(str(tmp_path))
