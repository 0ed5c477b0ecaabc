"""Which checkpoint to keep, when to stop, and when a run began to please only its judge."""

from collections.abc import Callable, Sequence
from statistics import fmean

from pydantic import Field

from preceptor.core.numbers import number, percent
from preceptor.core.types import Frozen, Real
from preceptor.evaluation.checkpoints.snapshot import Measure, MeasuredResponse, Snapshot, differences
from preceptor.evaluation.signs import ALPHA, sign_flip_p_value

MOST_FAILURES = 0.1
"""With a larger share of responses without a held-out score, a checkpoint's score is not meaningful."""


class Bounds(Frozen):
    """Bounds that a checkpoint must keep, however high it scores."""

    max_kl: Real = Field(default=20.0, gt=0, le=1e9)
    """Mean KL to the reference per response, in nats."""
    max_perplexity_ratio: Real = Field(default=1.25, gt=1, le=1e9)
    """Perplexity on the reference answers, relative to before training: the capability guard."""
    min_distinct_ratio: Real = Field(default=0.8, gt=0, le=1)
    """Distinct-2 of the responses, relative to before training: the degeneracy guard. It does not hold for an agent,
    whose last message may rightly be a number."""
    max_limit_increase: Real = Field(default=0.2, gt=0, le=1)
    """How much the share of responses that hit the length limit may rise."""


class CheckpointChoice(Frozen):
    """The checkpoint that is kept, and why others were excluded."""

    step: int
    excluded: dict[int, str]
    """Steps that broke a bound, with that bound."""


class OverOptimisation(Frozen):
    """Whether the training judge's score kept rising while the held-out measure fell."""

    detected: bool
    step: int | None = None
    """The first checkpoint that shows it."""
    reasons: tuple[str, ...] = ()


def _keeps_all(step: int) -> str | None:
    """The guard for snapshots that measure everything: no further check is needed."""
    return None


def broken_bound(before: Snapshot, now: Snapshot, bounds: Bounds, *, measured: bool) -> str | None:
    """The first bound that a snapshot breaks, in words; None if it keeps all.

    Args:
        measured: whether the run has a held-out measure; it may have failed on every response of this snapshot.
    """
    failed = sum(r.heldout_score is None for r in now.responses) / max(1, len(now.responses))
    if measured and failed > MOST_FAILURES:
        return f"the held-out judge failed on {percent(failed)} of the responses"
    kl = _overall(now.kl)
    if kl > bounds.max_kl:
        return f"KL {number(kl, 1)} is above {bounds.max_kl:g}"
    return broken_perplexity(before, now, bounds) or _degenerate(before, now, bounds)


def choose_checkpoint(
    snapshots: Sequence[Snapshot], bounds: Bounds, guard: Callable[[int], str | None] = _keeps_all
) -> CheckpointChoice:
    """The snapshot with the highest held-out score among those within bounds, the earliest if several are equal;
    without a held-out measure, the last one within bounds. The training judge has no say.

    The first snapshot is the policy before training; it keeps every bound, so there is always a choice.

    Args:
        guard: called with the step that would be kept; returns a bound that it breaks although its snapshot does not
            show it, or None. If it breaks one, the next best is tried.
    """
    before, measured = snapshots[0], _are_measured(snapshots)
    broken = {s.step: broken_bound(before, s, bounds, measured=measured) for s in snapshots[1:]}
    within = [s for s in snapshots if broken.get(s.step) is None]
    for best in sorted(within, key=lambda s: (-_overall(s.heldout_score), s.step) if measured else (0.0, -s.step)):
        why = None if best is before else guard(best.step)
        if why is None:
            return CheckpointChoice(
                step=best.step, excluded={step: why for step, why in broken.items() if why is not None}
            )
        broken[best.step] = why
    raise AssertionError("the policy before training keeps every bound")


def _are_measured(snapshots: Sequence[Snapshot]) -> bool:
    """Whether there is a held-out measure."""
    return any(snapshot.is_measured for snapshot in snapshots)


def should_stop(snapshots: Sequence[Snapshot], bounds: Bounds) -> str | None:
    """Why training should end: the newest snapshot broke a bound, or the run over-optimises. None to continue."""
    newest = snapshots[-1]
    if broken := broken_bound(snapshots[0], newest, bounds, measured=_are_measured(snapshots)):
        return f"step {newest.step}: {broken}"
    over = find_over_optimisation(snapshots, bounds)
    return f"step {over.step}: {'; '.join(over.reasons)}" if over.detected else None


def to_grade(snapshots: Sequence[Snapshot], bounds: Bounds) -> tuple[int, ...]:
    """The steps whose responses the training judge must score before `find_over_optimisation` can judge the newest
    snapshot: none as long as the held-out measure has not fallen and the text has not degenerated.
    """
    *earlier, now = snapshots
    if not earlier:
        return ()
    peak = _peak(earlier)
    fell = _beyond_chance(peak, now, lambda r: r.heldout_score) < 0
    suspect = fell or _degenerate(snapshots[0], now, bounds) is not None
    return (peak.step, now.step) if suspect else ()


def _peak(snapshots: Sequence[Snapshot]) -> Snapshot:
    """The first snapshot with the highest held-out score."""
    return max(snapshots, key=lambda s: _overall(s.heldout_score))


def find_over_optimisation(snapshots: Sequence[Snapshot], bounds: Bounds) -> OverOptimisation:
    """The first snapshot at which the training judge's score is above that at the held-out measure's peak so far, while
    the held-out measure fell (both beyond chance, by a sign-flip test over prompts) or the text degenerated. Gao et al.
    2023 describe the effect.
    """
    before = snapshots[0]
    for earlier, now in enumerate(snapshots[1:], start=1):
        peak, reasons = _peak(snapshots[:earlier]), list[str]()
        if _overall(now.judge_score) > _overall(peak.judge_score):
            fall, rise = (
                _beyond_chance(peak, now, value) for value in (lambda r: r.heldout_score, lambda r: r.judge_score)
            )
            if fall < 0 < rise:
                was, is_now = number(_overall(peak.judge_score)), number(_overall(now.judge_score))
                reasons.append(
                    f"the training judge rose from {was} to {is_now} since step {peak.step} while the held-out score "
                    f"fell by {number(-fall)}"
                )
            if degenerate := _degenerate(before, now, bounds):
                reasons.append(f"the training judge rewards degenerate text: {degenerate}")
        if reasons:
            return OverOptimisation(detected=True, step=now.step, reasons=tuple(reasons))
    return OverOptimisation(detected=False)


def _beyond_chance(before: Snapshot, now: Snapshot, value: Callable[[MeasuredResponse], float | None]) -> float:
    """The mean change over prompts; 0 if it may be chance."""
    changes_P = list(differences(before, now, value).values())
    p = sign_flip_p_value(changes_P)
    return fmean(changes_P) if p is not None and p < ALPHA else 0.0


def _degenerate(before: Snapshot, now: Snapshot, bounds: Bounds) -> str | None:
    distinct, distinct_before = _overall(now.distinct_2), _overall(before.distinct_2)
    if not now.acts and distinct < bounds.min_distinct_ratio * distinct_before:
        return f"distinct-2 fell from {number(distinct_before)} to {number(distinct)}"
    cut, cut_before = _overall(now.length_limit_share), _overall(before.length_limit_share)
    if cut > cut_before + bounds.max_limit_increase:
        return f"the share of responses cut at the length limit rose from {percent(cut_before)} to {percent(cut)}"
    return None


def broken_perplexity(before: Snapshot, now: Snapshot, bounds: Bounds) -> str | None:
    """How the capability guard is broken, in words; None if it is kept, or not measured in both snapshots."""
    if not before.references or not now.references:
        return None
    ratio = _overall(now.reference_perplexity) / _overall(before.reference_perplexity)
    if ratio > bounds.max_perplexity_ratio:
        return f"perplexity on reference answers rose by {percent(ratio - 1)}"
    return None


def _overall(measure: Measure) -> float:
    """The overall value; minus infinity if there is none, because the judge failed on every response."""
    return measure.overall.value if measure.overall is not None else float("-inf")
