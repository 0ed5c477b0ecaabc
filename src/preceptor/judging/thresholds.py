"""Thresholds of a cascade of judges that agree with people, certified on people's labels.

A judge's answer stands where its confidence is at least its threshold; other comparisons go to the next judge. A choice
of thresholds is certified if an exact binomial test rejects that the answers disagree with people more often than
allowed. Choices are tested by fixed-sequence testing (Jung et al. 2024, "Trust or Escalate", arXiv 2407.18370;
Angelopoulos et al. 2021, "Learn then Test", arXiv 2110.01052): in a chain of choices fixed beforehand, each answers
more than the one before, and testing ends at the first that is not certified. All chains together share the error rate
(Bonferroni).

Unlike the paper, which tests one judge after the other, each test here is of the whole cascade: the answers of a later
judge are to the comparisons that earlier judges left, and so the certificate holds for what is used.

Thresholds are quantiles of each judge's confidence on other comparisons than those that certify. So they are fixed
before any label is looked at, and need no common scale.
"""

import math
from dataclasses import dataclass
from functools import cache
from itertools import product
from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    import numpy as np

Thresholds: TypeAlias = tuple[float | None, ...]
"""The least confidence at which each judge's answer stands; None for a judge that is not asked."""
FIRST_SHARES = (0.0, 0.25, 0.5, 0.75, 1.0)
"""Shares of the comparisons whose answers stand, by the confidence of any judge but the last."""
LAST_SHARES = tuple(i / 10 for i in range(11))
"""The same for the last judge: the steps of a chain."""
NEARLY = 0.95
"""Of two certified choices, the cheaper is taken if it answers at least this share of what the other answers."""
_ROOM = 1.5
"""A chain starts where it expects this many times the answers that could be certified if all agreed with people."""
_MOST_LABELS = 1_000_000


@dataclass(frozen=True)
class Certificate:
    """What people's labels certify about a cascade."""

    thresholds: Thresholds | None
    """None if no choice is certified."""
    labels: int
    """Labels that certified."""
    answered: int = 0
    """Of these, comparisons that the cascade answers."""
    disagreements: int = 0
    """Of these, answers that people disagree with."""
    least: int = 0
    """Answers that would be certified if people agreed with all of them."""
    needed: int | None = None
    """If nothing is certified: labels that would be enough at the agreement that was seen. None if the agreement is too
    low for any number."""


def certify(
    confidence_NJ: "np.ndarray",
    agrees_NJ: "np.ndarray",
    elsewhere_MJ: "np.ndarray",
    *,
    agreement: float,
    certainty: float,
) -> Certificate:
    """The thresholds to use, among those certified: with probability `certainty` over the labels, at least the share
    `agreement` of all answers is what people say. Of the choices that answer nearly as much as the one that answers
    most (`NEARLY`), the one that passes least on to later judges.

    Args:
        confidence_NJ: confidence of J judges in N independent comparisons, max(p_a, 1 - p_a); NaN for a failure.
        agrees_NJ: whether the judge prefers what people prefer; anything for a failure.
        elsewhere_MJ: confidence on other comparisons, from which the thresholds are taken.
        agreement, certainty: between 0 and 1.

    Raises: ValueError without comparisons on either side.
    """
    if not len(confidence_NJ) or not len(elsewhere_MJ):
        raise ValueError("thresholds need comparisons that certify them, and others")
    labels, alpha = len(confidence_NJ), 1.0 - agreement
    chains = _chains(elsewhere_MJ)
    level = (1.0 - certainty) / len(chains)
    least = least_answers(alpha, level)
    certified, needed = list[tuple[int, Certificate]](), list[int]()
    for chain in chains:
        for place, thresholds in enumerate(_from_start(chain, elsewhere_MJ, labels, least)):
            answered, wrong = _outcome(confidence_NJ, agrees_NJ, thresholds)
            if wrong > most_disagreements(answered, alpha, level):
                if place == 0 and answered:
                    needed += _needed(answered, wrong, labels, alpha, level)
                break
            certified.append(
                (_passed_on(confidence_NJ, thresholds), Certificate(thresholds, labels, answered, wrong, least))
            )
    if not certified:
        return Certificate(None, labels, least=least, needed=min(needed, default=None))
    enough = NEARLY * max(choice.answered for _, choice in certified)
    return min(((n, c) for n, c in certified if c.answered >= enough), key=lambda pair: (pair[0], -pair[1].answered))[1]


def standing(confidence_NJ: "np.ndarray", thresholds: Thresholds) -> "np.ndarray":
    """The judge whose answer stands, counted from 0, for each comparison; -1 where there is none."""
    import numpy as np

    judge_N = np.full(len(confidence_NJ), -1)
    for number, threshold in enumerate(thresholds):
        if threshold is not None:
            judge_N[(judge_N < 0) & _stands(confidence_NJ[:, number], threshold)] = number
    return judge_N


@cache
def most_disagreements(answers: int, alpha: float, level: float) -> int:
    """The most disagreements among independent answers at which "more than alpha disagree" is rejected at a level; -1
    if even none is too many. P(at most k of n) = Σ C(n, i) αⁱ (1 - α)ⁿ⁻ⁱ ≤ level.
    """
    from scipy.stats import binom

    at_most = int(binom.ppf(level, answers, alpha)) if answers else 0
    while at_most >= 0 and binom.cdf(at_most, answers, alpha) > level:
        at_most -= 1
    return at_most


def least_answers(alpha: float, level: float) -> int:
    """The fewest answers that are certified if people agree with all of them: (1 - α)ⁿ ≤ level."""
    answers = max(1, math.floor(math.log(level) / math.log1p(-alpha)) - 1)
    while (1.0 - alpha) ** answers > level:
        answers += 1
    return answers


def _chains(elsewhere_MJ: "np.ndarray") -> list[list[Thresholds]]:
    """Chains of thresholds: those of the earlier judges are fixed in each, and the last judge answers more and more."""
    *first, last = elsewhere_MJ.T
    steps = [_threshold(last, share) for share in LAST_SHARES]
    fixed = product(*([_threshold(column, share) for share in FIRST_SHARES] for column in first))
    return [[(*earlier, threshold) for threshold in steps] for earlier in fixed]


def _threshold(confidence_M: "np.ndarray", share: float) -> float | None:
    """The confidence that this share of the answers reaches; None for no answer, one half for every answer."""
    import numpy as np

    known = np.sort(confidence_M[~np.isnan(confidence_M)])[::-1]
    count = round(share * len(known))
    if not count:
        return None
    return 0.5 if share == 1.0 else float(known[count - 1])


def _from_start(chain: list[Thresholds], elsewhere_MJ: "np.ndarray", labels: int, least: int) -> list[Thresholds]:
    """The chain without the choices that are expected to answer too little; known without any label."""
    for place, thresholds in enumerate(chain):
        share = float((standing(elsewhere_MJ, thresholds) >= 0).mean())
        if share * labels >= _ROOM * least:
            return chain[place:]
    return []


def _outcome(confidence_NJ: "np.ndarray", agrees_NJ: "np.ndarray", thresholds: Thresholds) -> tuple[int, int]:
    """How many comparisons are answered, and how many of the answers people disagree with."""
    judge_N = standing(confidence_NJ, thresholds)
    answered = judge_N >= 0
    agreed = agrees_NJ[answered, judge_N[answered]]
    return int(answered.sum()), int((~agreed).sum())


def _passed_on(confidence_NJ: "np.ndarray", thresholds: Thresholds) -> int:
    """How many questions go to judges after the first."""
    judge_N = standing(confidence_NJ, thresholds)
    asked = [int(((judge_N < 0) | (judge_N >= number)).sum()) for number in range(len(thresholds))]
    return sum(n for n, threshold in list(zip(asked, thresholds, strict=True))[1:] if threshold is not None)


def _stands(confidence_N: "np.ndarray", threshold: float) -> "np.ndarray":
    """Whether answers stand; never at exactly one half, which prefers neither, and never for a failure."""
    return (confidence_N >= threshold) & (confidence_N > 0.5)


def _needed(answered: int, wrong: int, labels: int, alpha: float, level: float) -> list[int]:
    """About how many labels would certify this share of disagreements; empty if no number does."""
    rate, answers = wrong / answered, answered
    if rate >= alpha:
        return []
    while math.ceil(rate * answers) > most_disagreements(answers, alpha, level):
        answers += max(1, answers // 50)
        if answers > _MOST_LABELS:
            return []
    return [math.ceil(answers * labels / answered)]
