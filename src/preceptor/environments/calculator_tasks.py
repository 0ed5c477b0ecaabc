"""Tasks for the calculator, made from a seed. No two have the same text or ask for the same calculation, so those held
out are not among those trained on.
"""

import json
import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

from preceptor.core.seeds import derive_seed
from preceptor.core.types import FunctionCall, Message, Prompt, ToolCall
from preceptor.environments.arithmetic import evaluate, written

Level = Literal["shown", "easy", "medium", "hard"]
"""`easy`: one step of arithmetic. `medium`: one look-up and one step. `hard`: two look-ups and several steps.
`shown`: as easy, after three questions that were answered with the calculator, for small models that would not call it.
"""

_ARTICLES = ("lamp", "kettle", "basket", "clock", "blanket", "mirror", "teapot", "hammock", "lantern", "stool")
_TOWNS = (
    "Ostwick",
    "Marrenby",
    "Tolvane",
    "Quelder",
    "Brisholm",
    "Fenmoor",
    "Aldstow",
    "Corvale",
    "Hythebeck",
    "Lunden",
)
_EXAMPLES = (("plus", "66 + 27", "93"), ("minus", "57 - 15", "42"), ("times", "41 * 3", "123"))
_HOW = "Use the tools, then answer with the number alone."


@dataclass(frozen=True)
class _Task:
    question: str
    calculation: str
    """What gives the answer; two tasks with the same are one."""
    table: dict[str, int]


def calculator_tasks(level: Level, count: int, seed: int = 0) -> list[Prompt]:
    """The first tasks of a level, which is their cohort.

    Args:
        count: how many, at most 2,000.

    Returns: prompts with the answer as their reference and what can be looked up as `metadata["table"]`.
    """
    draw = random.Random(derive_seed(seed, "calculator", level))  # noqa: S311
    tasks: dict[str, _Task] = {}
    questions: set[str] = set()
    examples = {calculation for _, calculation, _ in _EXAMPLES}
    while len(tasks) < count:
        task = _LEVELS[level](draw)
        if task.question not in questions and task.calculation not in tasks.keys() | examples:
            tasks[task.calculation] = task
            questions.add(task.question)
    return [_prompt(level, number, task) for number, task in enumerate(tasks.values(), 1)]


def _prompt(level: Level, number: int, task: _Task) -> Prompt:
    table: list[Any] = [{"name": name, "value": value} for name, value in task.table.items()]
    asked = _asked(task.question) if level == "shown" else _asked(f"{task.question} {_HOW}")
    return Prompt(
        id=f"calculator-{level}-{number}",
        conversation=(*_examples(), asked) if level == "shown" else (asked,),
        cohort=level,
        reference=written(evaluate(task.calculation)),
        metadata={"table": table},
    )


def _asked(question: str) -> Message:
    return Message(role="user", content=question)


def _examples() -> list[Message]:
    messages: list[Message] = []
    for number, (word, calculation, answer) in enumerate(_EXAMPLES):
        large, _, small = calculation.split()
        function = FunctionCall(name="calculate", arguments=json.dumps({"expression": calculation}))
        call = ToolCall(id=f"example{number:02}", function=function)
        messages += [
            _asked(f"What is {large} {word} {small}?"),
            Message(role="assistant", tool_calls=(call,)),
            Message(role="tool", content=answer, name="calculate", tool_call_id=call.id),
            Message(role="assistant", content=f"It is {answer}."),
        ]
    return messages


def _easy(draw: random.Random) -> _Task:
    sign = draw.choice("+-*")
    small, large = sorted((draw.randint(11, 99), draw.randint(2, 9) if sign == "*" else draw.randint(11, 99)))
    words = {"+": "plus", "-": "minus", "*": "times"}[sign]
    return _Task(f"What is {large} {words} {small}?", f"{large} {sign} {small}", {})


def _medium(draw: random.Random) -> _Task:
    if draw.random() < 0.5:
        table = _table(draw, _ARTICLES, 6, 240)
        article, times = draw.choice(list(table)), draw.randint(3, 48)
        return _Task(f"How much do {times} {article}s cost?", f"{times} * {table[article]}", table)
    table = _table(draw, _TOWNS, 900, 90_000)
    town, more = draw.choice(list(table)), draw.randint(11, 890)
    question = f"If {more} people moved to {town}, how many people would live there?"
    return _Task(question, f"{table[town]} + {more}", table)


def _hard(draw: random.Random) -> _Task:
    if draw.random() < 0.5:
        table = _table(draw, _ARTICLES, 6, 240)
        (one, other), (n, m) = draw.sample(list(table), 2), (draw.randint(2, 20), draw.randint(2, 20))
        discount = draw.choice((10, 20, 25, 50))
        return _Task(
            f"With {discount}% off the whole bill, how much do {n} {one}s and {m} {other}s cost?",
            f"({n} * {table[one]} + {m} * {table[other]}) * (100 - {discount}) / 100",
            table,
        )
    table = _table(draw, _TOWNS, 900, 90_000)
    one, other = sorted(draw.sample(list(table), 2), key=lambda town: -table[town])
    moved = draw.randint(11, 440)
    return _Task(
        f"If {moved} people moved from {other} to {one}, how many more people would live in {one} than in {other}?",
        f"({table[one]} + {moved}) - ({table[other]} - {moved})",
        table,
    )


def _table(draw: random.Random, names: tuple[str, ...], least: int, most: int) -> dict[str, int]:
    """Numbers for five of the names, new for each task: they can only be looked up."""
    values = draw.sample(range(least, most + 1), 5)
    return dict(zip(draw.sample(names, 5), values, strict=True))


_LEVELS: dict[Level, Callable[[random.Random], _Task]] = {
    "shown": _easy,
    "easy": _easy,
    "medium": _medium,
    "hard": _hard,
}
