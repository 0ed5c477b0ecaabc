"""What to do after an audit, in three sentences: which judge, how to ask it, and how many more labels would decide."""

import math

from scipy import stats

from preceptor.core.numbers import number, percent, points, points_interval, share
from preceptor.evaluation.intervals import LEVEL, Estimate
from preceptor.evaluation.judges.audit_words import headline, ranked
from preceptor.evaluation.judges.judge_audit import Audit, JudgeAudit

HARDLY = 0.02
"""A gain of agreement that is certainly below this is not worth twice the calls."""
POWER = 0.8
"""Probability with which the labels that are asked for show a difference as large as the one seen."""
MOST = 1_000_000
"""A larger number of labels is none."""


def recommendation(audit: Audit) -> tuple[str, str, str]:
    """Which judge to use or why none; how to ask it, empty if none is to be used; and whether more labels would change
    this, empty if no judge gave an answer to compare with people's.
    """
    best = _best(audit)
    if best is None:
        return headline(audit), "", ""
    return headline(audit), "" if best.unfit is not None else _asking(audit, best), _labels(audit, best)


def _best(audit: Audit) -> JudgeAudit | None:
    """The best of the judges that are fit for use; the best of all if none is."""
    judges = [judge for judge in ranked(audit) if judge.alignment is not None]
    return next((judge for judge in judges if judge.unfit is None), judges[0] if judges else None)


def _asking(audit: Audit, best: JudgeAudit) -> str:
    return " ".join(filter(None, (_orders(best), _cascade(audit))))


def _orders(judge: JudgeAudit) -> str:
    """Whether to show both orders."""
    gain = judge.both_orders_gain
    if gain is None:
        if judge.position_bias is None:
            return f"{judge.label} was asked in one order, so what the other would add is not known."
        return f"{judge.label} scores each response alone, so there is no order to choose."
    by = f"{points(gain.value, 1, signed=True)} points {points_interval(gain.low, gain.high, 1, signed=True)}".rstrip()
    if gain.low is not None and gain.low > 0:
        return f"Show {judge.label} both orders: that changes its agreement by {by}, for twice the calls."
    if gain.high is not None and gain.high < HARDLY:
        return f"One order is enough for {judge.label}: both change its agreement by {by}, for twice the calls."
    return (
        f"Keep showing {judge.label} both orders until more labels say whether one is enough: both change it by {by}."
    )


def _cascade(audit: Audit) -> str:
    """Whether a cascade would save calls."""
    cascade = audit.cascade
    if cascade is None:
        single = sum(judge.spec is not None for judge in audit.judges)
        return "Whether the judges would do as a cascade was not measured." if single > 1 else ""
    if cascade.use is None:
        return "No cascade of the judges can be certified."
    return (
        f"As a cascade, the judges agree with people on {share(cascade.use.agreement)} and {cascade.judges[-1]} is not "
        f"asked about {percent(cascade.use.saved.value)}."
    )


def _labels(audit: Audit, best: JudgeAudit) -> str:
    """How many more labels would decide what is open."""
    if best.unfit is not None:
        return _to_be_fit(best)
    rest = [judge for judge in ranked(audit) if judge.unfit is None and judge.label != best.label]
    if not rest:
        return f"No more labels are needed to see that {best.label} beats chance and always the longer response."
    other, names = rest[0], {best.label, rest[0].label}
    pair = next((pair for pair in audit.comparisons if {pair.judge_1, pair.judge_2} == names), None)
    if pair is not None and pair.significant:
        return f"No more labels are needed to choose {best.label}."
    if pair is None or pair.difference is None or pair.difference_ci is None:
        return f"How many labels would decide between {best.label} and {other.label} is not known."
    low, high = pair.difference_ci
    return _needed(
        Estimate(value=pair.difference, low=low, high=high, n=pair.n),
        f"decide between {best.label} and {other.label}",
        f"{best.label} and {other.label} agree with people equally often here",
    )


def _to_be_fit(judge: JudgeAudit) -> str:
    """How many more labels would show that a judge beats what it does not clearly beat."""
    if judge.unfit == "learnt":
        return "How many labels would be enough cannot be known from rows that it learnt."
    margin, of = judge.above_longer, "always the longer response"
    if (
        judge.unfit in ("chance", "below_chance")
        and judge.alignment is not None
        and judge.alignment.interval is not None
    ):
        low, high = judge.alignment.interval
        margin, of = (
            judge.alignment.model_copy(
                update={"value": judge.alignment.value - 0.5, "low": low - 0.5, "high": high - 0.5}
            ),
            "chance",
        )
    if margin is None:
        return ""
    worse = f"{judge.label} does no better than {of} here"
    if margin.value <= 0:
        return f"More labels are not worth their price: {worse}."
    return _needed(margin, f"show that {judge.label} beats {of}", worse)


def _needed(difference: Estimate, what: str, otherwise: str) -> str:
    more = more_rows(difference)
    if more is None:
        return f"No feasible number of labels would {what}: {otherwise}, or nearly so."
    return (
        f"About {number(more, 0)} more labelled pairs would {what}, if the difference is as large as it seems here "
        f"({points(abs(difference.value), 1)} points)."
    )


def more_rows(difference: Estimate) -> int | None:
    """How many rows more, beside the n that there are, give a 95% interval that excludes 0 with probability `POWER`, if
    the true difference is the one seen. Rounded up to two digits.

    Returns: None if the difference is 0 or has no interval, and if more than `MOST` would be needed.
    """
    if difference.interval is None or not difference.value:
        return None
    low, high = difference.interval
    reach, power = float(stats.norm.ppf(0.5 + LEVEL / 2)), float(stats.norm.ppf(POWER))
    needed = difference.n * ((high - low) / 2 * (reach + power) / reach / abs(difference.value)) ** 2
    more = max(1.0, needed - difference.n)
    if more > MOST:
        return None
    step = 10 ** max(0, math.floor(math.log10(more)) - 1)
    return math.ceil(more / step) * step
