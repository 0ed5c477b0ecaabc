"""The calculator and its tasks: each can be solved with the tools, and is checked."""

import re
from pathlib import Path

import pytest

from preceptor.core.types import Prompt
from preceptor.environments.calculator import Calculator
from preceptor.environments.calculator_tasks import Level, calculator_tasks
from preceptor.environments.loading import row_of
from preceptor.environments.packaged import PACKAGED, task_lines
from preceptor.store.prompts import packaged, read_prompts, split_held_out

TABLE = [{"name": "lamp", "value": 24}, {"name": "glass", "value": 3}]


def environment(reference: str | None = "1234") -> Calculator:
    made = Calculator()
    made.reset(table=TABLE, reference=reference, prompt=[], cohort="all")
    return made


def test_tools():
    calculator = environment()
    assert calculator.calculate("7 * 24") == "168"
    assert [calculator.look_up(name) for name in ("lamp", " Lamps ", "GLASS")] == ["24", "24", "3"]
    with pytest.raises(ValueError, match="lamp, glass"):
        calculator.look_up("sofa")


@pytest.mark.parametrize(
    ("response", "reward"),
    [("1,234", 1.0), ("It is 1234.0.", 1.0), ("$1234.004", 1.0), ("1235", 0.0), ("1234 or 5", 0.0), ("", 0.0)],
)
def test_the_last_number_of_the_response_is_the_answer(response: str, reward: float):
    assert environment().get_reward(response) == reward


def test_without_a_response_the_last_result_is_the_answer():
    calculator = environment("168")
    assert calculator.get_reward() == 0.0
    calculator.look_up("lamp")
    assert calculator.get_reward() == 0.0
    calculator.calculate("7 * 24")
    assert calculator.get_reward() == 1.0


def test_a_row_without_an_answer_has_no_reward():
    assert environment(None).get_reward("5") is None


def solved(task: Prompt) -> str:
    """The answer, worked out from the question's words and the table."""
    calculator = Calculator()
    calculator.reset(**row_of(task))
    asked, numbers = task.text, re.findall(r"\d+", task.text)
    names = [str(entry["name"]) for entry in task.metadata["table"] if str(entry["name"]) in asked]  # type: ignore
    places = {name: (asked.index(name), calculator.look_up(name)) for name in names}
    looked_up = [value for _, value in sorted(places.values())]
    if task.cohort in ("easy", "shown"):
        sign = next(sign for word, sign in {"plus": "+", "minus": "-", "times": "*"}.items() if word in asked)
        return calculator.calculate(f"{numbers[0]} {sign} {numbers[1]}")
    if task.cohort == "medium":
        return calculator.calculate(f"{numbers[0]} {'*' if 'cost' in asked else '+'} {looked_up[0]}")
    if "bill" in asked:
        off, n, m = numbers
        return calculator.calculate(f"({n} * {looked_up[0]} + {m} * {looked_up[1]}) * (1 - {off} / 100)")
    return calculator.calculate(f"{looked_up[1]} - {looked_up[0]} + 2 * {numbers[0]}")


@pytest.mark.parametrize("level", ["shown", "easy", "medium", "hard"])
def test_every_task_has_the_right_answer_and_no_two_are_the_same(level: Level):
    tasks = calculator_tasks(level, 200, seed=1)
    assert [solved(task) for task in tasks] == [task.reference for task in tasks]
    assert len({task.text for task in tasks}) == 200
    assert tasks[:50] == calculator_tasks(level, 50, seed=1)
    assert tasks[:50] != calculator_tasks(level, 50, seed=2)
    training, held_out = split_held_out(tasks, 0.25)
    assert not {task.text for task in training} & {task.text for task in held_out}


@pytest.mark.parametrize("name", PACKAGED)
def test_packaged_tasks_are_what_the_generators_make(name: str):
    assert Path(packaged(name)).read_text(encoding="utf-8") == task_lines(PACKAGED[name]())
    assert read_prompts(f"package:{name}") == PACKAGED[name]()
