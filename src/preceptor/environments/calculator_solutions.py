"""Demonstrations for the calculator: how each of its tasks is done with the tools, call by call."""

import json
import re
from collections.abc import Sequence

from preceptor.core.types import FunctionCall, Message, Prompt, ToolCall
from preceptor.environments.calculator import Calculator

DEMONSTRATIONS = "calculator_demonstrations"
"""The packaged set of demonstrations: of all tasks of `package:calculator`."""
_SIGNS = {"plus": "+", "minus": "-", "times": "*"}
_WAYS: tuple[tuple[str, tuple[str, ...], str], ...] = (
    (r"What is (?P<a>\d+) (?P<sign>\w+) (?P<b>\d+)\?", (), "{a} {sign} {b}"),
    (r"How much do (?P<n>\d+) (?P<one>\w+)s cost\?", ("one",), "{n} * {one}"),
    (r"If (?P<n>\d+) people moved to (?P<one>\w+), how", ("one",), "{one} + {n}"),
    (
        r"With (?P<off>\d+)% .* do (?P<n>\d+) (?P<one>\w+)s and (?P<m>\d+) (?P<other>\w+)s cost\?",
        ("one", "other"),
        "({n} * {one} + {m} * {other}) * (100 - {off}) / 100",
    ),
    (
        r"If (?P<n>\d+) people moved from (?P<other>\w+) to (?P<one>\w+), how",
        ("one", "other"),
        "({one} + {n}) - ({other} - {n})",
    ),
)
"""The text of a question, what has to be looked up, and the calculation with what was found."""


def demonstration(task: Prompt) -> list[Message]:
    """The messages after a task of the calculator that do it: a call of a tool, its result, and so on, and the answer.

    Raises: ValueError for a task that `calculator_tasks` did not make.
    """
    for pattern, names, calculation in _WAYS:
        if found := re.match(pattern, task.text):
            return _done(task, found.groupdict(), names, calculation)
    raise ValueError(f'no way is known to do the task "{task.text[:80]}"')


def demonstration_lines(tasks: Sequence[Prompt]) -> str:
    """Tasks with how they are done, as the lines of a file of demonstrations."""
    rows = [
        {
            "id": task.id,
            "cohort": task.cohort,
            "prompt": [message.wire() for message in task.conversation],
            "completion": [message.wire() for message in demonstration(task)],
        }
        for task in tasks
    ]
    return "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)


def _done(task: Prompt, said: dict[str, str], names: Sequence[str], calculation: str) -> list[Message]:
    environment = Calculator()
    environment.reset(table=task.metadata["table"], reference=task.reference)  # type: ignore[arg-type]
    messages: list[Message] = []

    def call(tool: str, parameter: str, value: str) -> str:
        number, result = f"call{len(messages) // 2:05d}", str(getattr(environment, tool)(value))
        function = FunctionCall(name=tool, arguments=json.dumps({parameter: value}))
        messages.append(Message(role="assistant", tool_calls=(ToolCall(id=number, function=function),)))
        messages.append(Message(role="tool", content=result, name=tool, tool_call_id=number))
        return result

    known = said | {name: call("look_up", "name", said[name]) for name in names}
    known |= {"sign": _SIGNS[said["sign"]]} if "sign" in said else {}
    answer = call("calculate", "expression", calculation.format(**known))
    return [*messages, Message(role="assistant", content=answer)]
