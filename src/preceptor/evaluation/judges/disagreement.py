"""How often a policy's training judge and its held-out judge disagree."""

from collections.abc import Sequence
from dataclasses import dataclass

from preceptor.core.types import Frozen
from preceptor.evaluation.intervals import Estimate
from preceptor.evaluation.judges.agreement import Side, chosen, kappa, share_by_prompt


@dataclass(frozen=True)
class TwiceJudged:
    """One comparison judged by two judges."""

    prompt_id: str
    cohort: str
    p_training: float
    """p_a by the training judge."""
    p_held_out: float
    """p_a by the held-out judge."""


class Disagreement(Frozen):
    """Disagreement of two judges on the same comparisons; those on which either is exactly undecided are left out."""

    n: int
    undecided: int
    """Comparisons left out."""
    overall: Estimate | None
    """Share of comparisons in which the two prefer different responses, with its interval over prompts."""
    by_cohort: dict[str, Estimate]
    kappa: float | None
    """Cohen's kappa of the two judges' choices; None if it is undefined."""


def disagreement(rows: Sequence[TwiceJudged]) -> Disagreement:
    """The disagreement rate overall and by cohort; a cohort without a decided comparison is left out."""
    decided: list[tuple[TwiceJudged, Side]] = []
    for row in rows:
        choice = chosen(row.p_training)
        if choice != "tie" and chosen(row.p_held_out) != "tie":
            decided.append((row, choice))
    differ = [(row, float(chosen(row.p_held_out) != choice)) for row, choice in decided]
    by_cohort = {
        cohort: share_by_prompt([(row.prompt_id, value) for row, value in differ if row.cohort == cohort])
        for cohort in dict.fromkeys(row.cohort for row, _ in decided)
    }
    return Disagreement(
        n=len(decided),
        undecided=len(rows) - len(decided),
        overall=share_by_prompt([(row.prompt_id, value) for row, value in differ]),
        by_cohort={cohort: share for cohort, share in by_cohort.items() if share is not None},
        kappa=kappa([(row.p_held_out, choice) for row, choice in decided]),
    )
