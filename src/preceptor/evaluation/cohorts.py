"""What changed in which cohort, beyond what so many questions asked at once find by chance."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from preceptor.core.types import Frozen
from preceptor.evaluation.intervals import Estimate, mean_by_prompt
from preceptor.evaluation.signs import ALPHA, holm, sign_flip_p_value

Verdict = Literal["improved", "unchanged", "regressed"]


@dataclass(frozen=True)
class PairedValues:
    """A measure of two policies on the same prompts of one cohort, higher being better."""

    cohort: str
    measure: str
    """What was measured: "win rate", "principle: ...", "exact match", ..."""
    policy: str
    against: str
    before_P: Sequence[float]
    """By prompt, the mean over its samples for `against`; 0.5 for a win rate, which knows no level of its own."""
    after_P: Sequence[float]
    """The same for `policy`, in the same order of prompts."""


class Change(Frozen):
    """A measure before and after in one cohort."""

    cohort: str
    measure: str
    policy: str
    against: str
    before: Estimate
    after: Estimate
    change: Estimate
    """Mean over prompts of after - before; 95 % bootstrap interval over prompts, paired. None with fewer than three
    prompts, and where all have the same difference: resampling them has nothing to say."""
    p_value: float | None
    """Two-sided: sign flips of the prompts' differences. None with fewer than three prompts."""
    p_holm: float | None
    """After Holm's correction over all changes that were judged together."""
    verdict: Verdict
    """`unchanged` says that no change was found, not that there is none: see the interval."""


def changes(measured: Sequence[PairedValues]) -> tuple[Change, ...]:
    """A change for each, in their order: improved or regressed where p_holm < 0.05 and the interval leaves 0 out.

    All that is given together is corrected together, so that the chance of any wrong verdict among them is at most
    5 %: more cohorts and measures ask for more evidence of each. A measure that moved on no prompt asks for none:
    however signs are flipped it stays where it is, so it cannot be found by chance (Tarone 1990).

    Raises: ValueError where a measure has no prompts, or not the same number before and after.
    """
    p_values = [sign_flip_p_value(_differences(each)) for each in measured]
    moved = [any(_differences(each)) for each in measured]
    corrected = holm([p if moves else None for p, moves in zip(p_values, moved, strict=True)])
    return tuple(
        _change(values, p, p_holm if moves else p)
        for values, p, p_holm, moves in zip(measured, p_values, corrected, moved, strict=True)
    )


def _change(values: PairedValues, p_value: float | None, p_holm: float | None) -> Change:
    change = _over_prompts(_differences(values))
    return Change(
        cohort=values.cohort,
        measure=values.measure,
        policy=values.policy,
        against=values.against,
        before=_over_prompts(values.before_P),
        after=_over_prompts(values.after_P),
        change=change,
        p_value=p_value,
        p_holm=p_holm,
        verdict=_verdict(change, p_holm),
    )


def _verdict(change: Estimate, p_holm: float | None) -> Verdict:
    if p_holm is None or p_holm >= ALPHA:
        return "unchanged"
    low, high = (change.value if end is None else end for end in (change.low, change.high))
    return "improved" if low > 0 else "regressed" if high < 0 else "unchanged"


def _differences(values: PairedValues) -> list[float]:
    if len(values.before_P) != len(values.after_P):
        raise ValueError(
            f"{values.measure} in {values.cohort}: {len(values.before_P)} before, {len(values.after_P)} after"
        )
    return [after - before for before, after in zip(values.before_P, values.after_P, strict=True)]


def _over_prompts(values_P: Sequence[float]) -> Estimate:
    found = mean_by_prompt([[value] for value in values_P])
    if found is None:
        raise ValueError("a change needs prompts")
    return found.model_copy(update={"low": None, "high": None}) if found.low == found.high else found
