"""From judged items to a score of the response.

The score is the sum of the points of the items that are met, over the sum of all positive points, within [0, 1]:

    score = clip(sum_i points_i met_i / sum_i max(points_i, 0), 0, 1)

HealthBench (Arora et al. 2025, arXiv 2505.08775) computes it in this way, and clips the mean over all examples; here
each response's score is clipped, because each is a reward or a side of a preference by itself. An item that nobody
could assess is in neither sum. Items are taken to be independent, so the score has a distribution, whose expectation is
the score as a number.
"""

import math
from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Sequence
from itertools import accumulate

from pydantic import Field

from preceptor.core.rubric import Rubric
from preceptor.core.types import Frozen, JudgeFailure, Score, Verdict, total_usage
from preceptor.judging.settings import Met

MOST_VALUES = 512
"""Distinct scores that a distribution keeps; more are merged with their neighbours, which keeps the mean."""
_DECIMALS = 9
"""Decimals by which two sums of points are told apart."""


class ItemJudgement(Frozen):
    """What became of one item of a rubric."""

    met: float | None = Field(default=None, ge=0, le=1)
    """Probability that the item is met, or its share where code decides; None if nobody could assess it, or it failed.
    """
    verdict: Verdict | None = None
    """The judge's verdict; None where code decides."""
    failure: JudgeFailure | None = None
    """Why the item could not be judged."""

    @property
    def unassessed(self) -> bool:
        """Whether the answer was "cannot assess"."""
        return self.met is None and self.failure is None


class RubricScore(Score):
    """A response's score by the rubric of its prompt, from 0 to 1: a distribution, and what became of each item."""

    rubric_hash: str
    items: tuple[ItemJudgement, ...] = ()
    """In the order of the rubric; empty where the judge gave one score for all of it."""

    @property
    def unassessed(self) -> int:
        """Number of items that nobody could assess; they are left out of the score."""
        return sum(item.unassessed for item in self.items)

    @property
    def failed(self) -> int:
        """Number of items that failed and were left out of the score."""
        return sum(item.failure is not None for item in self.items)


def score_distribution(rubric: Rubric, items: Sequence[ItemJudgement], met: Met = "soft") -> dict[float, float] | None:
    """The probability of each score that the response may have.

    Returns: score to probability, which sum to 1; None if no item with positive points was assessed.
    """
    assessed = [(of.points, item) for of, item in zip(rubric.items, items, strict=True) if item.met is not None]
    possible = math.fsum(points for points, _ in assessed if points > 0)
    if possible <= 0:
        return None
    sums = {0.0: 1.0}
    for points, item in assessed:
        sums = _merged(_added(sums, points, item, met))
    clipped = ((min(1.0, max(0.0, total / possible)), p) for total, p in sums.items())
    return _merged(clipped)


def _added(sums: dict[float, float], points: float, item: ItemJudgement, met: Met) -> Iterable[tuple[float, float]]:
    """The sums with one more item. A share that code gave is certain; a judge's probability is not."""
    p = item.met or 0.0
    if met == "threshold":
        return [(total + (points if p >= 0.5 else 0.0), q) for total, q in sums.items()]
    if item.verdict is None:
        return [(total + points * p, q) for total, q in sums.items()]
    return [pair for total, q in sums.items() for pair in ((total + points, q * p), (total, q * (1 - p)))]


def _merged(pairs: Iterable[tuple[float, float]]) -> dict[float, float]:
    """Equal values joined; too many values joined with their neighbours."""
    sums: dict[float, float] = {}
    for value, p in pairs:
        if p > 0:
            key = round(value, _DECIMALS) + 0.0  # no -0.0
            sums[key] = sums.get(key, 0.0) + p
    if len(sums) <= MOST_VALUES:
        return sums
    low, high = min(sums), max(sums)
    bins: dict[int, list[float]] = {}
    for value in sums:
        bins.setdefault(int((value - low) / (high - low) * (MOST_VALUES - 1)), []).append(value)
    joined = ((values, math.fsum(sums[value] for value in values)) for values in bins.values())
    return {math.fsum(value * sums[value] for value in values) / p: p for values, p in joined}


def as_verdict(distribution: dict[float, float], items: Sequence[ItemJudgement]) -> tuple[Verdict, dict[str, float]]:
    """The verdict whose choices are scores, and the value of each choice. The ends of the scale are always among them.

    What the verdict says beyond that is taken from the judge's verdicts on the items.
    """
    verdicts = [item.verdict for item in items if item.verdict is not None]
    total = math.fsum(distribution.values())
    shares = {0.0: 0.0, 1.0: 0.0} | distribution
    values = {f"{value:.{_DECIMALS}g}": value for value in sorted(shares)}
    verdict = Verdict(
        probabilities={name: shares[value] / total for name, value in values.items()},
        choice_mass=math.fsum(v.choice_mass for v in verdicts) / len(verdicts) if verdicts else 1.0,
        rationale=next((v.rationale for v in verdicts if v.rationale), ""),
        votes=next((v.votes for v in verdicts if v.votes is not None), None),
        usage=total_usage(v.usage for v in verdicts),
    )
    return verdict, values


def higher(a: Score, b: Score) -> tuple[float, float]:
    """The probability that score a is higher than an independent score b, a tie counted half; and that of a tie.

    Returns: p_a and p_tie. Equal distributions give exactly 0.5.
    """
    one, other = _by_value(a), _by_value(b)
    if one == other:
        return 0.5, min(1.0, math.fsum(p * p for p in one.values()))
    values = sorted(other)
    below = [0.0, *accumulate(other[value] for value in values)]
    wins = math.fsum(p * below[bisect_left(values, value)] for value, p in one.items())
    losses = math.fsum(p * (below[-1] - below[bisect_right(values, value)]) for value, p in one.items())
    ties = math.fsum(p * other.get(value, 0.0) for value, p in one.items())
    return min(1.0, max(0.0, 0.5 + (wins - losses) / 2)), min(1.0, ties)


def _by_value(score: Score) -> dict[float, float]:
    return {score.values[choice]: p for choice, p in score.verdict.probabilities.items() if p > 0}
