"""Demonstrations of the calculator do their tasks, whichever level."""

import json
from pathlib import Path
from typing import get_args

import pytest

from preceptor.core.types import Message, Prompt
from preceptor.environments.calculator import Calculator
from preceptor.environments.calculator_solutions import DEMONSTRATIONS, demonstration, demonstration_lines
from preceptor.environments.calculator_tasks import Level, calculator_tasks
from preceptor.environments.loading import row_of
from preceptor.environments.packaged import PACKAGED
from preceptor.store.demonstrations import read_demonstrations
from preceptor.store.prompts import packaged


@pytest.mark.parametrize("level", get_args(Level))
def test_every_task_is_done(level: Level) -> None:
    calls = {"shown": 1, "easy": 1, "medium": 2, "hard": 3}[level]
    for task in calculator_tasks(level, 40, seed=3):
        messages = demonstration(task)
        assert [message.role for message in messages] == ["assistant", "tool"] * calls + ["assistant"]
        environment = Calculator()
        environment.reset(**row_of(task))
        for said, seen in zip(messages[:-1:2], messages[1:-1:2], strict=True):
            (call,) = said.tool_calls
            tool = getattr(environment, call.function.name)
            assert tool(**json.loads(call.function.arguments)) == seen.content
            assert seen.tool_call_id == call.id
        assert environment.get_reward(messages[-1].content) == 1.0


def test_rows_hold_what_fine_tuning_reads() -> None:
    tasks = calculator_tasks("easy", 2)
    first, second = (json.loads(line) for line in demonstration_lines(tasks).splitlines())
    assert [first["id"], second["id"]] == [task.id for task in tasks]
    assert first["completion"][0]["tool_calls"][0]["function"]["name"] == "calculate"
    assert first["completion"][-1] == {"role": "assistant", "content": tasks[0].reference}


def test_the_packaged_demonstrations_are_what_the_generator_makes() -> None:
    lines = demonstration_lines(PACKAGED["calculator"]())
    assert Path(packaged(DEMONSTRATIONS)).read_text(encoding="utf-8") == lines
    read, left_out = read_demonstrations(Path(packaged(DEMONSTRATIONS)))
    assert (len(read), left_out) == (300, [])
    assert all(len(each.trajectory) >= 3 for each in read)


def test_the_short_set_is_a_part_of_the_easy_ones() -> None:
    shown = Path(packaged(f"{DEMONSTRATIONS}_short")).read_text(encoding="utf-8")
    assert shown == demonstration_lines(PACKAGED["calculator_easy"]()[60:84])


def test_an_unknown_task_is_refused() -> None:
    with pytest.raises(ValueError, match="Who are you"):
        demonstration(Prompt(id="p", conversation=(Message(role="user", content="Who are you?"),)))
