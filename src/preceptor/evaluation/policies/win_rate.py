"""Win rates: how often a judge prefers one policy's response to another's."""

from collections.abc import Sequence

import numpy as np

from preceptor.core.types import Frozen
from preceptor.evaluation.intervals import Estimate, rate_by_prompt
from preceptor.evaluation.judges.agreement import correctness
from preceptor.evaluation.pairs import JudgedPair, between, by_prompt
from preceptor.evaluation.signs import ALPHA, holm, sign_flip_p_value
from preceptor.judging.position import same_position_wins


class WinRate(Frozen):
    """A policy's win rate against another. Intervals are 95%, over prompts: those of `rate_interval`."""

    policy: str
    against: str
    cohort: str | None
    """None for all cohorts together."""
    wins: int
    """Pairs in which the judge prefers `policy`."""
    ties: int
    """Pairs with p exactly 0.5: the judge prefers neither."""
    losses: int
    rate: Estimate
    """1 for a win, 0.5 for a tie, 0 for a loss: the mean over each prompt's pairs, then over prompts."""
    soft: Estimate
    """The same mean of the judge's probabilities."""
    single_order: Estimate | None
    """The win rate when `policy` is shown first; None if there was no order. The difference from `rate` shows the
    effect of position bias."""
    orders_disagree: float | None
    """Share of pairs shown in both orders in which the same position wins both times; None without such pairs."""
    p_value: float | None
    """Two-sided p-value of the hypothesis that the rate is 0.5: exact or sampled sign flips of the prompts' mean
    outcomes around 0.5. None with fewer than three prompts."""


def win_rate(pairs: Sequence[JudgedPair], policy: str, against: str, cohort: str | None = None) -> WinRate | None:
    """The win rate of a policy; None if the two were not compared in that cohort."""
    compared = [pair for pair in between(pairs, policy, against) if cohort is None or pair.cohort == cohort]
    if not compared:
        return None
    of_prompt = by_prompt(compared).values()
    outcomes = [[outcome(pair.p_a) for pair in group] for group in of_prompt]
    counts = [sum(group.count(value) for group in outcomes) for value in (1.0, 0.5, 0.0)]
    first = [[outcome(pair.by_order["ab"]) for pair in group if "ab" in pair.by_order] for group in of_prompt]
    same_position = [same for pair in compared if (same := same_position_wins(pair.by_order.items())) is not None]
    return WinRate(
        policy=policy,
        against=against,
        cohort=cohort,
        wins=counts[0],
        ties=counts[1],
        losses=counts[2],
        rate=_known(rate_by_prompt(outcomes)),
        soft=_known(rate_by_prompt([[pair.p_a for pair in group] for group in of_prompt])),
        single_order=rate_by_prompt(first),
        orders_disagree=sum(same_position) / len(same_position) if same_position else None,
        p_value=sign_flip_p_value([float(np.mean(group)) - 0.5 for group in outcomes]),
    )


def _known(rate: Estimate | None) -> Estimate:
    assert rate is not None  # there are pairs
    return rate


def outcome(p: float) -> float:
    """1 for a win, 0 for a loss, 0.5 if the judge prefers neither."""
    return correctness(p, "a")


class SignificantDifference(Frozen):
    """Whether two of several policies differ beyond chance, corrected for all pairs of policies."""

    policy: str
    against: str
    rate: float
    p_holm: float | None
    """The win rate's p-value after Holm's correction over all pairs of policies."""
    significant: bool
    """p_holm is below 0.05 and the win rate's interval excludes 0.5."""


def significance(win_rates: Sequence[WinRate]) -> tuple[SignificantDifference, ...]:
    """One entry for each win rate, in the same order."""
    return tuple(
        SignificantDifference(
            policy=win.policy,
            against=win.against,
            rate=win.rate.value,
            p_holm=p_holm,
            significant=p_holm is not None and p_holm < ALPHA and _excludes_one_half(win.rate),
        )
        for win, p_holm in zip(win_rates, holm([win.p_value for win in win_rates]), strict=True)
    )


def _excludes_one_half(rate: Estimate) -> bool:
    return rate.low is not None and rate.high is not None and not rate.low <= 0.5 <= rate.high
