"""Rationales that a judge finds by itself: it reasons several times, and what came to the known label is kept.

Rejection sampling, as in STaR (Zelikman et al. 2022, arXiv 2203.14465) and Self-Taught Evaluators (Wang et al. 2024,
arXiv 2408.02666).
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from preceptor.core.progress import Progress
from preceptor.core.types import JudgeFailure
from preceptor.judging.lessons import ORDERS, Key, Lesson, Order, Rationales
from preceptor.judging.pairwise import PairwiseJudge, PlannedPresentation
from preceptor.judging.settings import PairwiseSettings


@dataclass(frozen=True)
class FoundRationales:
    """The rationales of some lessons, and what it took to find them."""

    rationales: Rationales
    """Those known before, and those found."""
    lacking: int
    """Lessons that lacked a rationale in an order."""
    found: int
    """Those of them that now have one in both."""
    tries: tuple[int, ...]
    """How many questions, each a lesson in one order, were answered with the label at the first try, the second ..."""
    without: int
    """Questions that no try answered with the label."""
    failed: int
    """Tries that gave no verdict."""


def sampling(settings: PairwiseSettings, tries: int) -> PairwiseSettings:
    """The settings of a judge that reasons, so that it reasons differently at every try."""
    return settings.model_copy(update={"samples": max(2, tries)})  # one sample alone is greedy


def find_rationales(
    judge: PairwiseJudge, lessons: Sequence[Lesson], known: Rationales, tries: int, progress: Progress
) -> FoundRationales:
    """Asks a judge for the rationales that lessons lack, and keeps the first that came to the label, in each order.

    Args:
        judge: with the settings that `sampling` gives.
        known: rationales that need no asking.
        tries: how often a question is asked at most.

    Raises: PreceptorError when the model cannot be asked.
    """
    found, at_try, failed = dict(known), Counter[int](), 0
    lacking = [lesson for lesson in lessons if not lesson.reasoned(known)]
    asked: dict[Key, tuple[Lesson, Order]] = {
        lesson.key(order): (lesson, order) for lesson in lacking for order in ORDERS if lesson.key(order) not in known
    }
    progress.stage("looking for rationales")
    for sample in range(tries):
        still = [of for key, of in asked.items() if key not in found]
        at_once = 4 * judge.model.model.concurrency
        for start in range(0, len(still), at_once):
            part = still[start : start + at_once]
            said = judge.present([PlannedPresentation(lesson.comparison, order, (), sample) for lesson, order in part])
            for (lesson, order), seen in zip(part, said, strict=True):
                if isinstance(seen, JudgeFailure):
                    failed += 1
                elif seen.verdict.rationale and lesson.agrees(seen.p_a):
                    found[lesson.key(order)] = seen.verdict.rationale
                    at_try[sample] += 1
            done = sum(key in found for key in asked)
            progress.advance(done, len(asked), f"try {sample + 1} of {tries}")
    return FoundRationales(
        rationales=found,
        lacking=len(lacking),
        found=sum(lesson.reasoned(found) for lesson in lacking),
        tries=tuple(at_try[sample] for sample in range(tries)),
        without=sum(key not in found for key in asked),
        failed=failed,
    )
