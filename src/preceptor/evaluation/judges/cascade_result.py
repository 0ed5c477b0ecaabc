"""The result of auditing judges as a cascade: see `preceptor.evaluation.judges.cascade_audit`."""

from preceptor.core.types import Frozen
from preceptor.evaluation.intervals import Estimate


class CascadeUse(Frozen):
    """What a cascade does on comparisons that did not calibrate it; intervals are over prompts."""

    rows: int
    prompts: int
    answered_by: tuple[int, ...]
    """Comparisons that each judge answers."""
    asked: tuple[float, ...]
    """Share of the comparisons that reach each judge."""
    coverage: Estimate
    """Share of the comparisons that are answered."""
    escalated: Estimate
    """Share of the comparisons that the first judge leaves to others."""
    saved: Estimate
    """Share of the comparisons that the last judge is not asked about."""
    agreement: Estimate | None
    """Of the answers where most people prefer one response, the share that agrees with them."""
    first_alone: Estimate | None
    """The same for the first judge, if it answers everything."""
    last_alone: Estimate | None
    """The same for the last judge, if it answers everything."""
    cost_per_1000: float | None
    """Dollars for 1,000 comparisons."""
    last_cost_per_1000: float | None
    """The same if the last judge answers everything."""


class CascadeAudit(Frozen):
    """Whether judges can be used as a cascade, and what that would give."""

    judges: tuple[str, ...]
    """Labels of the judges, in the order in which they are asked."""
    agreement: float
    """Share of the answers that is to agree with people."""
    certainty: float
    """Probability with which that is to be certain."""
    labels: int
    """Labels that calibrate, one for each prompt."""
    ties: int
    """Comparisons of these prompts that calibrate nothing, because most people call a tie."""
    thresholds: tuple[float | None, ...] | None = None
    """The least confidence at which each judge's answer stands; None for a judge that is not asked. None altogether if
    nothing can be certified."""
    answered: int = 0
    """Of the labels, those that the cascade answers."""
    disagreements: int = 0
    """Of these, answers that people disagree with."""
    least: int = 0
    """Answers that could be certified if people agreed with all of them."""
    needed: int | None = None
    """If nothing is certified: about how many labels would be enough at the agreement seen; None if no number would."""
    use: CascadeUse | None = None
    """None if nothing is certified."""
