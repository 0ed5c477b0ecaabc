"""Which items of the prompts' rubrics a policy meets: by tag, and by criterion where several prompts share one."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from statistics import fmean

from preceptor.core.rubric import Rubric
from preceptor.core.types import Frozen
from preceptor.evaluation.policies.compute import TextMeasure
from preceptor.evaluation.policies.rates import MeasuredText

LEAST_PROMPTS = 3
"""A criterion is a measure of its own if so many prompts have it; one with fewer counts in its tags only."""


class RubricItemMet(Frozen):
    """One item of a rubric, and whether a response meets it."""

    criterion: str
    points: float
    met: float | None
    """Probability that it is met, or the share of it; None if it could not be assessed or failed."""
    tags: tuple[str, ...] = ()

    @property
    def good(self) -> float | None:
        """How far the item speaks for the response: of a fault, how far it is avoided."""
        return None if self.met is None else self.met if self.points > 0 else 1.0 - self.met

    @property
    def name(self) -> str:
        """The criterion, marked if it is a fault, of which less is better."""
        return self.criterion if self.points > 0 else f"avoids: {self.criterion}"


@dataclass(frozen=True)
class RubricAnswer:
    """A response with what its rubric's items gave."""

    policy: str
    prompt_id: str
    cohort: str
    items: Sequence[RubricItemMet]
    score: float | None = None
    """Its score by the whole rubric, from 0 to 1; None if it has none."""


def items_met(rubric: Rubric, met: Sequence[float | None]) -> tuple[RubricItemMet, ...]:
    """The items of a rubric with what became of them; none where the judge gave one score for all."""
    if not met:
        return ()
    return tuple(
        RubricItemMet(criterion=item.criterion, points=item.points, met=p, tags=item.tags)
        for item, p in zip(rubric.items, met, strict=True)
    )


def rubric_measures(answers: Iterable[RubricAnswer], where: str = "") -> list[TextMeasure]:
    """The score by rubrics, the share of items with each tag that is met (of faults: avoided), and the same for each
    criterion that several prompts have. Higher is better in all. Items that were not assessed are in no mean.

    Args:
        where: behind the names of the measures, such as " (in training)".
    """
    known = list(answers)
    scored = [(answer, answer.score) for answer in known if answer.score is not None]
    measures = [TextMeasure(f"rubric score{where}", [_text(answer, score) for answer, score in scored])]
    tags = dict.fromkeys(tag for answer in known for item in answer.items for tag in item.tags)
    for tag in tags:
        measures.append(TextMeasure(f"rubric items{where}, {tag}", _texts(known, tag=tag)))
    for name in _shared(known):
        measures.append(TextMeasure(f"rubric item{where}: {name}", _texts(known, name=name)))
    return [measure for measure in measures if measure.texts]


def _shared(answers: Sequence[RubricAnswer]) -> list[str]:
    """The criteria that enough prompts have."""
    prompts: dict[str, set[str]] = {}
    for answer in answers:
        for item in answer.items:
            prompts.setdefault(item.name, set()).add(answer.prompt_id)
    return [name for name, having in prompts.items() if len(having) >= LEAST_PROMPTS]


def _texts(answers: Sequence[RubricAnswer], *, tag: str | None = None, name: str | None = None) -> list[MeasuredText]:
    """The mean over a response's items with a tag, or of a name, for each response that has some."""
    texts: list[MeasuredText] = []
    for answer in answers:
        chosen = [item for item in answer.items if (tag in item.tags if name is None else item.name == name)]
        values = [good for item in chosen if (good := item.good) is not None]
        texts += [_text(answer, fmean(values))] if values else []
    return texts


def _text(answer: RubricAnswer, value: float) -> MeasuredText:
    return MeasuredText(answer.policy, answer.prompt_id, answer.cohort, value)
