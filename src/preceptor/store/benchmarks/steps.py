"""Benchmarks of step judges: solutions whose first wrong step people marked (ProcessBench, PRM800K)."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TypeAlias

from preceptor.core.errors import UsageError
from preceptor.core.types import Prompt, Response
from preceptor.core.validation import check_choice
from preceptor.store.benchmarks.files import read_published
from preceptor.store.benchmarks.parts import need, text, texts
from preceptor.store.columns import WrongRowError
from preceptor.store.comparisons import parse_response
from preceptor.store.prompts import parse_prompt
from preceptor.store.rows import Malformed, Row

StepBenchmarkName: TypeAlias = Literal["processbench", "prm800k"]
"""Benchmarks of step judges that are read as they are published."""
NONE = -1
"""The place of the first wrong step where no step is wrong."""


@dataclass(frozen=True)
class StepRow:
    """A solution, each step of which is a message of the assistant."""

    place: str
    prompt: Prompt
    response: Response
    first_error: int
    """The first wrong step, counted from 0; `NONE` if every step is right."""
    subset: str


_Solution = tuple[str, list[str], int, str]
"""Problem, steps, first wrong step and subset."""


def step_rows(path: Path, format: StepBenchmarkName, limit: int | None = None) -> Iterator[StepRow | Malformed]:
    """Streams the solutions of a benchmark. One that cannot be used is yielded as a malformed row.

    Args:
        limit: how many solutions to read, from the first.

    Raises: UsageError when the file cannot be read.
    """
    check_choice("format", format, StepBenchmarkName)
    for number, (place, _, row) in enumerate(read_published(path)):
        if limit is not None and number >= limit:
            return
        if isinstance(row, Malformed):
            yield row
            continue
        try:
            yield _step_row(place, _READ[format](row))
        except (WrongRowError, UsageError) as error:
            yield Malformed(number, place, str(error).removeprefix(": "))


def _step_row(place: str, solution: _Solution) -> StepRow:
    problem, steps, first_error, subset = solution
    if not NONE <= first_error < len(steps):
        raise WrongRowError(f"the first wrong step is {first_error}, and there are {len(steps)} steps")
    prompt = parse_prompt({"prompt": problem}, "")
    response = parse_response([{"role": "assistant", "content": step} for step in steps], "steps", prompt, None)
    if not response.trajectory:  # a single step is a trajectory too
        response = response.model_copy(update={"trajectory": response.messages})
    return StepRow(place, prompt, response, first_error, subset)


def _processbench(row: Row) -> _Solution:
    """`id` (begins with the subset), `problem`, `steps`, `label`: the first wrong step or -1 (Qwen/ProcessBench)."""
    label: Any = need(row, "label")
    if isinstance(label, bool) or not isinstance(label, int):
        raise WrongRowError(f"label: expected the number of a step or -1, got {str(label)[:40]!r}")
    return text(row, "problem"), texts(row, "steps"), label, text(row, "id").rpartition("-")[0] or "all"


def _prm800k(row: Row) -> _Solution:
    """`question.problem`, and `label.steps` with rated `completions` (openai/prm800k). Of each step the completion
    counts that was chosen, or the first where none was; a step that a person wrote is right. What follows the first
    wrong step is left out.
    """
    question, label = _object(row, "question"), _object(row, "label")
    if label.get("finish_reason") not in ("solution", "found_error"):
        raise WrongRowError(f"finish_reason: the labels are not whole ({label.get('finish_reason')})")
    listed: Any = need(label, "steps")
    steps: list[str] = []
    for step in listed if isinstance(listed, list) else []:
        said, rating = _rated(step)
        steps.append(said)
        if rating < 0:
            return text(question, "problem"), steps, len(steps) - 1, "PRM800K"
    if not steps:
        raise WrongRowError("label.steps: expected a list of steps")
    return text(question, "problem"), steps, NONE, "PRM800K"


def _rated(step: Any) -> tuple[str, int]:
    """A step's text, and its rating: -1, 0 or 1."""
    fields: Row = step if isinstance(step, dict) else {}
    chosen: Any = fields.get("chosen_completion")
    written: Any = fields.get("human_completion")
    if chosen is None and isinstance(written, dict):
        return text(written, "text"), 1
    completions: Any = fields.get("completions")
    place: int = chosen if isinstance(chosen, int) else 0
    if (
        not isinstance(completions, list)
        or not 0 <= place < len(completions)
        or not isinstance(completions[place], dict)
    ):
        raise WrongRowError("label.steps: expected completions, and the place of the chosen one")
    completion: Row = completions[place]
    rating: Any = completion.get("rating")
    if rating not in (-1, 0, 1):
        raise WrongRowError(f"label.steps: rating: expected -1, 0 or 1, got {str(rating)[:40]}")
    return text(completion, "text"), int(rating)


def _object(row: Row, name: str) -> Row:
    value: Any = need(row, name)
    if not isinstance(value, dict):
        raise WrongRowError(f"{name}: expected an object, got {type(value).__name__}")
    return value


_READ: Mapping[StepBenchmarkName, Callable[[Row], _Solution]] = {"processbench": _processbench, "prm800k": _prm800k}
