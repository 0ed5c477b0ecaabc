"""What a judge learns from: questions as it will be asked them, with the right answers."""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from preceptor.core.types import Comparison, JsonObject
from preceptor.judging.ask import reasoned_conversation, taught_answer
from preceptor.judging.pairwise import PairwiseJudge, PlannedPresentation
from preceptor.store.demonstrations import Demonstration
from preceptor.store.prompts import parse_prompt

Order = Literal["ab", "ba"]
ORDERS: tuple[Order, ...] = ("ab", "ba")
PEOPLE = "people"
NOT_RECORDED = "not recorded"
_LISTED = {PEOPLE: 0, NOT_RECORDED: 2}
Key = tuple[str, Order, Literal["a", "b"]]
Rationales = Mapping[Key, str]
"""A rationale by a comparison's id, the order in which the responses were shown, and the label that it came to."""


@dataclass(frozen=True)
class Lesson:
    """A comparison whose better response is known."""

    comparison: Comparison
    better: Literal["a", "b"]
    teacher: str = NOT_RECORDED
    """Who says which response is better."""

    def key(self, order: Order) -> Key:
        """What a rationale of this lesson is found by."""
        return self.comparison.id, order, self.better

    def reasoned(self, rationales: Rationales) -> bool:
        """Whether it has a rationale in both orders."""
        return all(self.key(order) in rationales for order in ORDERS)

    def agrees(self, p_a: float) -> bool:
        """Whether a judge that gives a this probability came to the label."""
        return p_a != 0.5 and (p_a > 0.5) == (self.better == "a")


def teachers_of(lessons: Sequence[Lesson]) -> tuple[str, ...]:
    """Everybody who taught, each once: people first, and last what is not recorded."""
    return tuple(sorted({lesson.teacher for lesson in lessons}, key=lambda who: (_LISTED.get(who, 1), who)))


def demonstrations_of(
    judge: PairwiseJudge, lessons: Sequence[Lesson], rationales: Rationales | None
) -> Iterator[Demonstration]:
    """Every lesson in both orders, so that no position is right more often than the other.

    Args:
        judge: asks the questions, on the model that is to learn.
        rationales: what the judge says before its verdict, for both orders of each lesson; None if it answers at
            once.

    Raises: UsageError when the model cannot learn to judge.
    """
    for lesson in lessons:
        for order in ORDERS:
            said = None if rationales is None else rationales[lesson.key(order)]
            yield _demonstration(judge, lesson, order, said)


def questions_of(judge: PairwiseJudge, lessons: Sequence[Lesson]) -> Iterator[JsonObject]:
    """The lessons as prompts for reinforcement learning, in both orders, which belong together: the judge is asked to
    reason, and the reference is the right answer. A comparison that is labelled both ways has none, and is left out.
    """
    labels = defaultdict[str, set[str]](set)
    for lesson in lessons:
        labels[lesson.comparison.id].add(lesson.better)
    for lesson in {each.comparison.id: each for each in lessons if len(labels[each.comparison.id]) == 1}.values():
        for order in ORDERS:
            question = judge.question(PlannedPresentation(lesson.comparison, order, (), 0))
            asked: Any = [message.wire() for message in reasoned_conversation(question)]
            yield {
                "id": f"{lesson.comparison.id}-{order}",
                "prompt": asked,
                "reference": _right(judge, lesson, order),
                "metadata": {"choices": list(question.choices), "together": lesson.comparison.id},
            }


def _right(judge: PairwiseJudge, lesson: Lesson, order: Order) -> str:
    first, second = judge.constitution.pairwise.answers
    return first if (lesson.better == "a") == (order == "ab") else second


def _demonstration(judge: PairwiseJudge, lesson: Lesson, order: Order, rationale: str | None) -> Demonstration:
    question = judge.question(PlannedPresentation(lesson.comparison, order, (), 0))
    asked, answer = taught_answer(judge.model.model, question, _right(judge, lesson, order), rationale)
    wired = [message.wire() for message in asked]
    return Demonstration(parse_prompt({"prompt": wired}, "the question"), answer)
