"""The tasks that ship with preceptor as packaged prompt sets (`package:calculator_easy`, ...)."""

import json
from collections.abc import Callable

from preceptor.core.types import Prompt
from preceptor.environments.calculator_tasks import calculator_tasks
from preceptor.environments.support_tasks import support_tasks

PACKAGED: dict[str, Callable[[], list[Prompt]]] = {
    "calculator_shown": lambda: calculator_tasks("shown", 120),
    "calculator_easy": lambda: calculator_tasks("easy", 300),
    "calculator": lambda: [
        *calculator_tasks("easy", 100),
        *calculator_tasks("medium", 100),
        *calculator_tasks("hard", 100),
    ],
    "support_desk": lambda: [*support_tasks("one_order", 60), *support_tasks("plan", 60)],
}
"""What each packaged set of tasks is made by."""


def task_lines(tasks: list[Prompt]) -> str:
    """Tasks as the lines of a prompt file."""
    return "".join(json.dumps(_row(task), ensure_ascii=False) + "\n" for task in tasks)


def _row(task: Prompt) -> dict[str, object]:
    row: dict[str, object] = {
        "id": task.id,
        "cohort": task.cohort,
        "prompt": [message.wire() for message in task.conversation],
    }
    return row | ({"reference": task.reference} if task.reference else {}) | {"metadata": task.metadata}
