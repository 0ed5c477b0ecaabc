"""What changed in which cohort, beyond what so many questions asked at once find by chance."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

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
"""Of a value, and of a change of it."""


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
    kind: Kind = "number"
    """What bounds the values: a win rate is compared with one half, a share lies in [0, 1], a number anywhere."""


class Change(Frozen):
    """A measure before and after in one cohort."""

    cohort: str
    measure: str
    policy: str
    against: str
    before: Estimate
    after: Estimate
    change: Estimate
    """Mean over prompts of after - before, paired, with its 95% interval over prompts. A win rate has one from three
    prompts on, others from ten on; numbers that are no shares have none where all prompts changed by the same."""
    p_value: float | None
    """Two-sided: sign flips of the prompts' differences. None with fewer than three prompts."""
    p_holm: float | None
    """After Holm's correction over all changes that were judged together."""
    verdict: Verdict
    """`unchanged` says that no change was found, not that there is none: see the interval. `too few prompts` says that
    none could have been found: even if all prompts had changed the same way, chance would have done it too often."""


def changes(measured: Sequence[PairedValues]) -> tuple[Change, ...]:
    """A change for each, in their order: improved or regressed where p_holm < 0.05 and the interval leaves 0 out.

    All that is given together is corrected together, so that the chance of any wrong verdict among them is at most
    5%: more cohorts and measures ask for more evidence of each. A measure that moved on no prompt asks for none:
    however signs are flipped it stays where it is, so it cannot be found by chance (Tarone 1990).

    Of n prompts that all change the same way, the p-value is 2 / 2ⁿ. Where that is 5% or more after the correction,
    the verdict is "too few prompts": below 6 prompts always, and below 11 where 50 questions are asked at once.

    Raises: ValueError where a measure has no prompts, or not the same number before and after.
    """
    p_values = [sign_flip_p_value(_differences(each)) for each in measured]
    moved = [any(_differences(each)) for each in measured]
    corrected = holm([p if moves else None for p, moves in zip(p_values, moved, strict=True)])
    questions = max(1, sum(moves and p is not None for p, moves in zip(p_values, moved, strict=True)))
    return tuple(
        _change(values, p, p_holm if moves else p, questions)
        for values, p, p_holm, moves in zip(measured, p_values, corrected, moved, strict=True)
    )


def _change(values: PairedValues, p_value: float | None, p_holm: float | None, questions: int) -> Change:
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
        verdict=_verdict(change, p_holm, questions),
    )


def _verdict(change: Estimate, p_holm: float | None, questions: int) -> Verdict:
    if p_holm is not None and p_holm < ALPHA:
        low, high = (change.value if end is None else end for end in (change.low, change.high))
        return "improved" if low > 0 else "regressed" if high < 0 else "unchanged"
    return "too few prompts" if 2.0 ** (1 - change.n) * questions >= ALPHA else "unchanged"


def _differences(values: PairedValues) -> list[float]:
    if len(values.before_P) != len(values.after_P):
        raise ValueError(
            f"{values.measure} in {values.cohort}: {len(values.before_P)} before, {len(values.after_P)} after"
        )
    return [after - before for before, after in zip(values.before_P, values.after_P, strict=True)]


def _over_prompts(values_P: Sequence[float], bounds: Bounds | None, few: int = LEAST_FOR_RATE) -> Estimate:
    if not values_P:
        raise ValueError("a change needs prompts")
    found = bounded_mean(values_P, *bounds, few) if bounds else mean_by_prompt([[value] for value in values_P])
    assert found is not None  # there are prompts
    return found
