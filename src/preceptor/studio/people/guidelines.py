"""What raters are told, from a constitution: its words without what only a judge needs."""

import re
from collections.abc import Iterator

from preceptor.core.types import JsonObject
from preceptor.judging.constitution import ComparedExemplar, Constitution, PairwiseRubric
from preceptor.studio.people.queues import Guidelines

_NAMED = re.compile(r"\b([Rr])esponse ([12])\b")


def guidelines_of(constitution: Constitution) -> Guidelines:
    """A constitution as guidelines. Examples without a better response are left out."""
    return Guidelines(
        title=constitution.name,
        summary=" ".join(constitution.summary.split()),
        principles=tuple(" ".join(principle.split()) for principle in constitution.principles),
        question=" ".join(constitution.pairwise.question.split()),
        examples=tuple(_examples(constitution.pairwise)),
        constitution_hash=constitution.hash,
    )


def _examples(rubric: PairwiseRubric) -> Iterator[JsonObject]:
    for exemplar in rubric.exemplars:
        if exemplar.preferred in rubric.answers:
            yield _example(exemplar, first_is_better=exemplar.preferred == rubric.answers[0])


def _example(exemplar: ComparedExemplar, *, first_is_better: bool) -> JsonObject:
    both = exemplar.response_1, exemplar.response_2
    better, worse = both if first_is_better else both[::-1]
    return {
        "prompt": exemplar.prompt.strip(),
        "better": better.strip(),
        "worse": worse.strip(),
        "reason": _without_numbers(" ".join(exemplar.rationale.split()), better=1 if first_is_better else 2),
    }


def _without_numbers(reason: str, better: int) -> str:
    """The reason with "response 1" and "response 2" as the better and the worse one: a rater sees no numbers."""

    def name(found: re.Match[str]) -> str:
        which = "better" if int(found[2]) == better else "worse"
        return f"{'The' if found[1] == 'R' else 'the'} {which} response"

    return _NAMED.sub(name, reason)
