"""What a judge learns from: questions as it will be asked them, with the right answers."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from preceptor.core.types import Comparison
from preceptor.judging.ask import taught_answer
from preceptor.judging.pairwise import PairwiseJudge, PlannedPresentation
from preceptor.store.demonstrations import Demonstration
from preceptor.store.prompts import parse_prompt

Order = Literal["ab", "ba"]
Rationales = Mapping[tuple[str, Order], str]
"""A rationale by a comparison's id and the order in which the responses were shown."""


@dataclass(frozen=True)
class Lesson:
    """A comparison whose better response is known."""

    comparison: Comparison
    better: Literal["a", "b"]


def demonstrations_of(
    judge: PairwiseJudge, lessons: Sequence[Lesson], rationales: Rationales | None
) -> Iterator[Demonstration]:
    """Every lesson in both orders, so that no position is right more often than the other.

    Args:
        judge: asks the questions, on the model that is to learn.
        rationales: what the judge says before its verdict; None if it answers at once. A lesson without one in either
            order is left out in both.

    Raises: UsageError when the model cannot learn to judge.
    """
    for lesson in lessons:
        orders: tuple[Order, ...] = ("ab", "ba")
        said = None if rationales is None else [rationales.get((lesson.comparison.id, order)) for order in orders]
        if said is not None and None in said:
            continue
        for place, order in enumerate(orders):
            yield _demonstration(judge, lesson, order, None if said is None else said[place])


def _demonstration(judge: PairwiseJudge, lesson: Lesson, order: Order, rationale: str | None) -> Demonstration:
    question = judge.question(PlannedPresentation(lesson.comparison, order, (), 0))
    first, second = judge.constitution.pairwise.answers
    choice = first if (lesson.better == "a") == (order == "ab") else second
    asked, answer = taught_answer(judge.model.model, question, choice, rationale)
    wired = [message.wire() for message in asked]
    return Demonstration(parse_prompt({"prompt": wired}, "the question"), answer)
