"""Changes by cohort, corrected for testing many of them at once."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

import numpy as np

from preceptor.core.types import Frozen
from preceptor.evaluation.intervals import LEAST, LEAST_FOR_RATE, Estimate, bounded_mean, mean_by_prompt
from preceptor.evaluation.signs import ALPHA, holm, sign_flip_p_value

Verdict = Literal["improved", "unchanged", "regressed", "too few prompts"]
Kind = Literal["win rate", "share", "number"]
Bounds: TypeAlias = tuple[float, float]
_BOUNDS: dict[Kind, tuple[Bounds | None, Bounds | None]] = {
    "win rate": ((0.0, 1.0), (-0.5, 0.5)),
    "share": ((0.0, 1.0), (-1.0, 1.0)),
    "number": (None, None),
}
"""Bounds of a value, and of its change."""
MATTERS = 0.1
"""The smallest change of a win rate or share that matters: `unchanged` needs an interval within ± this."""
SPREAD_MATTERS = 0.2
"""The same for a number, in standard deviations of its values before, over prompts: a small effect (Cohen 1988)."""
UNMOVED = 30
"""A measure that changed on none of this many prompts is unchanged: at 95%, it changes on at most a tenth of others."""


@dataclass(frozen=True)
class PairedValues:
    """A measure of two policies on the same prompts of one cohort, higher being better."""

    cohort: str
    measure: str
    """Name of the measure: "win rate", "principle: ...", "exact match", ..."""
    policy: str
    against: str
    before_P: Sequence[float]
    """By prompt, the mean over the samples of `against`; 0.5 for a win rate, which has no level of its own."""
    after_P: Sequence[float]
    """The same for `policy`, in the same order of prompts."""
    kind: Kind = "number"
    """How values are bounded: a win rate is compared with one half, a share lies in [0, 1], a number is unbounded."""


class Change(Frozen):
    """A measure before and after in one cohort."""

    cohort: str
    measure: str
    policy: str
    against: str
    before: Estimate
    after: Estimate
    change: Estimate
    """Mean over prompts of after - before, paired, with its 95% interval over prompts. A win rate needs three prompts
    for an interval, other measures ten. A number that is no share has none if all prompts changed by the same."""
    p_value: float | None
    """Two-sided: sign flips of the prompts' differences. None with fewer than three prompts."""
    p_holm: float | None
    """After Holm's correction over all changes that were judged together."""
    verdict: Verdict
    """`unchanged` means that no change was found and that the interval excludes every change that matters: it lies
    within ± `MATTERS` for win rates and shares, within ± `SPREAD_MATTERS` standard deviations for numbers. `too few
    prompts` means that no change was found and that one that matters is not excluded."""


def changes(measured: Sequence[PairedValues]) -> tuple[Change, ...]:
    """A change for each measure, in the same order: improved or regressed if p_holm < 0.05 and the interval excludes 0.

    Everything that is given together is corrected together, so the chance of any wrong verdict is at most 5%: more
    cohorts and measures need more evidence each. A measure that did not change on any prompt is not counted as a test:
    flipping signs does not move it, so it cannot be significant by chance (Tarone 1990).

    Otherwise it is unchanged if its interval excludes every change that matters, and else "too few prompts". A measure
    without an interval that changed on no prompt is unchanged from `UNMOVED` prompts on.

    Raises: ValueError if a measure has no prompts, or not the same number before and after.
    """
    p_values = [sign_flip_p_value(_differences(values)) for values in measured]
    moved = [any(_differences(values)) for values in measured]
    corrected = holm([p if moves else None for p, moves in zip(p_values, moved, strict=True)])
    return tuple(
        _change(values, p, p_holm if moves else p)
        for values, p, p_holm, moves in zip(measured, p_values, corrected, moved, strict=True)
    )


def _change(values: PairedValues, p_value: float | None, p_holm: float | None) -> Change:
    of_value, of_change = _BOUNDS[values.kind]
    few = LEAST if values.kind == "share" else LEAST_FOR_RATE
    change, before = _over_prompts(_differences(values), of_change, few), _over_prompts(values.before_P, of_value)
    known = {"low": None, "high": None} if values.kind == "win rate" else {}  # one half is not estimated
    return Change(
        cohort=values.cohort,
        measure=values.measure,
        policy=values.policy,
        against=values.against,
        before=before.model_copy(update=known),
        after=_over_prompts(values.after_P, of_value),
        change=change,
        p_value=p_value,
        p_holm=p_holm,
        verdict=_verdict(change, p_holm, values),
    )


def _verdict(change: Estimate, p_holm: float | None, values: PairedValues) -> Verdict:
    if p_holm is not None and p_holm < ALPHA:
        low, high = (change.value if end is None else end for end in (change.low, change.high))
        if low > 0 or high < 0:
            return "improved" if low > 0 else "regressed"
    return "unchanged" if _excludes_what_matters(change, values) else "too few prompts"


def _excludes_what_matters(change: Estimate, values: PairedValues) -> bool:
    if change.low is None or change.high is None:
        return change.n >= UNMOVED and not any(_differences(values))
    matters = MATTERS if values.kind != "number" else SPREAD_MATTERS * float(np.std(values.before_P))
    return max(-change.low, change.high) < matters


def _differences(values: PairedValues) -> list[float]:
    if len(values.before_P) != len(values.after_P):
        raise ValueError(
            f"{values.measure} in {values.cohort}: {len(values.before_P)} before, {len(values.after_P)} after"
        )
    return [after - before for before, after in zip(values.before_P, values.after_P, strict=True)]


def _over_prompts(values_P: Sequence[float], bounds: Bounds | None, few: int = LEAST_FOR_RATE) -> Estimate:
    if not values_P:
        raise ValueError("a change needs prompts")
    mean = bounded_mean(values_P, *bounds, few) if bounds else mean_by_prompt([[value] for value in values_P])
    assert mean is not None  # there are prompts
    return mean
