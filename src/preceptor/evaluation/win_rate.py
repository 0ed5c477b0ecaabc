"""Win rates: how often a judge prefers one policy's response to another's."""

from collections.abc import Sequence
from typing import cast

import numpy as np
from statsmodels.stats.proportion import proportion_confint

from preceptor.core.types import Frozen
from preceptor.evaluation.agreement import correctness
from preceptor.evaluation.intervals import LEVEL, Estimate, mean_by_prompt
from preceptor.evaluation.pairs import JudgedPair, between, by_prompt
from preceptor.evaluation.signs import ALPHA, holm, sign_flip_p_value
from preceptor.judging.position import same_position_wins


class WinRate(Frozen):
    """How one policy does against another. Intervals are 95 %, bootstrapped over prompts; where all prompts say the
    same and a bootstrap has nothing to go by, they are Wilson's with the prompts as the trials.
    """

    policy: str
    against: str
    cohort: str | None
    """None for all cohorts together."""
    wins: int
    """Pairs in which the judge prefers `policy`."""
    ties: int
    """Pairs in which p is exactly 0.5: the judge prefers neither."""
    losses: int
    rate: Estimate
    """Mean over prompts of the mean over each prompt's pairs of 1 for a win, 0.5 for a tie, 0 for a loss."""
    soft: Estimate
    """The same of the judge's probabilities."""
    single_order: Estimate | None
    """The win rate by the showings in which `policy` stood first; None where the judge saw no order. Against `rate` it
    shows what position bias would have done."""
    orders_disagree: float | None
    """Share of pairs shown in both orders in which the same position wins in both; None where there is none."""
    p_value: float | None
    """Two-sided, of a rate of 0.5: exact or sampled sign flips of the prompts' mean outcomes around 0.5. None with
    fewer than three prompts."""


def win_rate(pairs: Sequence[JudgedPair], policy: str, against: str, cohort: str | None = None) -> WinRate | None:
    """The win rate of a policy; None where the two were never compared in that cohort."""
    found = [pair for pair in between(pairs, policy, against) if cohort is None or pair.cohort == cohort]
    if not found:
        return None
    of_prompt = by_prompt(found).values()
    outcomes = [[outcome(pair.p_a) for pair in group] for group in of_prompt]
    counts = [sum(group.count(value) for group in outcomes) for value in (1.0, 0.5, 0.0)]
    first = [[outcome(pair.by_order["ab"]) for pair in group if "ab" in pair.by_order] for group in of_prompt]
    same_position = [same for pair in found if (same := same_position_wins(pair.by_order.items())) is not None]
    return WinRate(
        policy=policy,
        against=against,
        cohort=cohort,
        wins=counts[0],
        ties=counts[1],
        losses=counts[2],
        rate=rate_by_prompt(outcomes),
        soft=rate_by_prompt([[pair.p_a for pair in group] for group in of_prompt]),
        single_order=rate_by_prompt(first) if any(first) else None,
        orders_disagree=sum(same_position) / len(same_position) if same_position else None,
        p_value=sign_flip_p_value([float(np.mean(group)) - 0.5 for group in outcomes]),
    )


def outcome(p: float) -> float:
    """1 for a win, 0 for a loss, 0.5 where the judge prefers neither."""
    return correctness(p, "a")


def rate_by_prompt(values_of_prompt: Sequence[Sequence[float]]) -> Estimate:
    """Mean over prompts of the mean over each prompt's values in [0, 1], with an interval over prompts.

    The bootstrap's of `mean_by_prompt`, but where that has no width, or does not exist, Wilson's with the prompts as
    the trials: twenty wins of twenty do not show that the twenty-first is certain. No interval below three prompts.

    Raises: ValueError where there is no value at all.
    """
    estimate = mean_by_prompt(values_of_prompt)
    if estimate is None:
        raise ValueError("a rate of no values")
    narrow = estimate.low is None or estimate.high is None or estimate.high - estimate.low < 1e-9
    if estimate.n < 3 or not narrow:
        return estimate
    value = min(max(estimate.value, 0.0), 1.0)
    low, high = cast(
        "tuple[float, float]",
        proportion_confint(value * estimate.n, estimate.n, alpha=1 - LEVEL, method="wilson"),
    )
    # At 0 and 1 Wilson's limits miss the value by a rounding error.
    return estimate.model_copy(update={"low": min(float(low), value), "high": max(float(high), value)})


class SignificantDifference(Frozen):
    """Whether two policies of several differ beyond chance, all pairs of policies taken together."""

    policy: str
    against: str
    rate: float
    p_holm: float | None
    """The win rate's p-value after Holm's correction over all pairs of policies."""
    significant: bool
    """p_holm is below 0.05 and the win rate's interval leaves 0.5 out."""


def significance(win_rates: Sequence[WinRate]) -> tuple[SignificantDifference, ...]:
    """One entry for each win rate, in their order."""
    return tuple(
        SignificantDifference(
            policy=each.policy,
            against=each.against,
            rate=each.rate.value,
            p_holm=p_holm,
            significant=p_holm is not None and p_holm < ALPHA and _leaves_out_one_half(each.rate),
        )
        for each, p_holm in zip(win_rates, holm([each.p_value for each in win_rates]), strict=True)
    )


def _leaves_out_one_half(rate: Estimate) -> bool:
    return rate.low is not None and rate.high is not None and not rate.low <= 0.5 <= rate.high
