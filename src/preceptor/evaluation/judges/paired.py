"""Compares two judges' agreement with people, on the rows that both answered."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any

from statsmodels.stats.contingency_tables import mcnemar

from preceptor.core.types import Frozen
from preceptor.evaluation.judges.agreement import difference_by_prompt
from preceptor.evaluation.signs import ALPHA, holm


@dataclass(frozen=True)
class JudgeOutcomes:
    """How far a judge agreed with people on each row."""

    judge: str
    correct: Mapping[int, tuple[str, float]]
    """Maps the number of a row to its prompt id and 1 (agrees with people), 0 or 0.5."""


class PairedComparison(Frozen):
    """The difference of two judges' alignments on the same rows."""

    judge_1: str
    judge_2: str
    n: int
    """Rows that both answered and on which people have a majority."""
    difference: float | None
    """Alignment of judge 1 minus that of judge 2."""
    difference_ci: tuple[float, float] | None
    """95% interval over prompts."""
    p_value: float | None
    """McNemar's exact test on the rows on which exactly one of them is right; rows on which either is undecided are
    left out. The test assumes independent rows, but comparisons of one prompt are not independent."""
    p_holm: float | None
    """The same after Holm's correction over all pairs of judges."""
    significant: bool
    """Whether p_holm is below 0.05 and the interval over prompts excludes 0."""


def compare_all(outcomes: Sequence[JudgeOutcomes]) -> tuple[PairedComparison, ...]:
    """Compares every two judges, in the order given."""
    pairs = [_compare(first, second) for first, second in combinations(outcomes, 2)]
    corrected = holm([pair.p_value for pair in pairs])
    return tuple(pair if p is None else _decided(pair, p) for pair, p in zip(pairs, corrected, strict=True))


def _decided(comparison: PairedComparison, p_holm: float) -> PairedComparison:
    interval = comparison.difference_ci
    apart = interval is not None and (interval[0] > 0 or interval[1] < 0)
    return comparison.model_copy(update={"p_holm": p_holm, "significant": apart and p_holm < ALPHA})


def _compare(first: JudgeOutcomes, second: JudgeOutcomes) -> PairedComparison:
    shared = [(*first.correct[row], second.correct[row][1]) for row in first.correct if row in second.correct]
    difference = difference_by_prompt([(prompt, one - other) for prompt, one, other in shared])
    return PairedComparison(
        judge_1=first.judge,
        judge_2=second.judge,
        n=len(shared),
        difference=difference and difference.value,
        difference_ci=difference and difference.interval,
        p_value=_mcnemar([(one, other) for _, one, other in shared]),
        p_holm=None,
        significant=False,
    )


def _mcnemar(correct: Sequence[tuple[float, float]]) -> float | None:
    decided = [pair for pair in correct if 0.5 not in pair]
    if not decided:
        return None
    table = [[decided.count((one, other)) for other in (1.0, 0.0)] for one in (1.0, 0.0)]
    test: Any = mcnemar(table, exact=True)
    return float(test.pvalue)
