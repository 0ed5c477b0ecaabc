"""How far people agree with each other, on comparisons or on rankings: the agreement to expect of a judge.

A measure that cannot be computed is None, never 0.
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Literal

import krippendorff
import numpy as np
from scipy import stats

from preceptor.core.types import Frozen, HumanLabel
from preceptor.evaluation.intervals import Estimate, mean_by_prompt
from preceptor.evaluation.judges.agreement import human_agreement, krippendorff_alpha, share_by_prompt


@dataclass(frozen=True)
class Rankings:
    """Several raters' ranks of the same items."""

    id: str
    ranks_RK: Sequence[Sequence[float | None]]
    """Ranks by rater and item, 1 is the best; equal ranks are ties. None for an item that a rater did not rank."""


class Concordance(Frozen):
    """How far the raters of one row agree."""

    id: str
    raters: int
    """Raters who ranked every item."""
    items: int
    w: float | None
    """Kendall's W: 0 where ranks add up the same for all items, 1 where all raters agree. None with fewer than two
    raters or items, or where every rater ties all items."""
    p_value: float | None
    """p-value of random ranks, by chi-square; rough with few raters and items."""


class RaterAgreement(Frozen):
    """How far people agree."""

    kind: Literal["preferences", "rankings"]
    rows: int
    """Rows with opinions of two people or more; all measures are over these."""
    opinions: int
    """Number of opinions on comparisons, or number of rankings."""
    pairwise: Estimate | None
    """How often two people agree on two responses: the mean over rows (for rankings, over their pairs of items) of the
    share of agreeing pairs of people. A tie is an opinion. The interval is over prompts."""
    alpha: float | None
    """Krippendorff's alpha: 1 for full agreement, 0 for agreement by chance."""
    alpha_level: Literal["nominal", "ordinal"]
    w: Estimate | None
    """For rankings, the mean over rows of Kendall's W, with an interval over rows."""
    w_p_value: float | None
    """p-value of random ranks in all rows, from the sum of the rows' chi-square statistics."""
    concordance: tuple[Concordance, ...] = ()


def preference_agreement(rows: Iterable[tuple[str, HumanLabel]]) -> RaterAgreement:
    """The agreement of several people's opinions on comparisons.

    Args:
        rows: prompt id and label of each comparison; those with fewer than two ratings are left out.
    """
    rated = [(prompt, label) for prompt, label in rows if len(label.ratings) > 1]
    shares = [(prompt, human_agreement([label])) for prompt, label in rated]
    return RaterAgreement(
        kind="preferences",
        rows=len(rated),
        opinions=sum(len(label.ratings) for _, label in rated),
        pairwise=share_by_prompt([(prompt, share) for prompt, share in shares if share is not None]),
        alpha=krippendorff_alpha([label.ratings for _, label in rated]),
        alpha_level="nominal",
        w=None,
        w_p_value=None,
    )


def ranking_agreement(rows: Iterable[Rankings]) -> RaterAgreement:
    """The agreement of several people's rankings of the same items.

    A rater who left out an item counts for alpha and for the pairs of items that they ranked, not for W.
    """
    rated = [row for row in rows if len(row.ranks_RK) > 1]
    shares = [(row.id, human_agreement(_as_comparisons(row))) for row in rated]
    tested = [(row, _friedman(_complete(row))) for row in rated]
    known = [friedman for _, friedman in tested if friedman is not None]
    return RaterAgreement(
        kind="rankings",
        rows=len(rated),
        opinions=sum(len(row.ranks_RK) for row in rated),
        pairwise=share_by_prompt([(name, share) for name, share in shares if share is not None]),
        alpha=ordinal_alpha(_units(rated)),
        alpha_level="ordinal",
        w=mean_by_prompt([[friedman.w] for friedman in known]),
        w_p_value=_p_value(sum(friedman.chi_square for friedman in known), sum(friedman.freedom for friedman in known)),
        concordance=tuple(_concordance(row, friedman) for row, friedman in tested),
    )


def kendall_w(ranks_RK: Sequence[Sequence[float]]) -> float | None:
    """Kendall's coefficient of concordance, corrected for ties (Kendall & Babington Smith 1939).

    W = 12 S / (m² (k³ - k) - m Σ (t³ - t)) for m raters and k items, where S is the sum of squared deviations of the
    items' sums of ranks from their mean, and t are the sizes of each rater's groups of tied items, which get their mean
    rank.

    Args:
        ranks_RK: by rater and item; any numbers that put the items in order.

    Returns: None with fewer than two raters or items, or where every rater ties all items.
    """
    friedman = _friedman(ranks_RK)
    return None if friedman is None else friedman.w


def ordinal_alpha(units: Iterable[Sequence[float]]) -> float | None:
    """Krippendorff's alpha on an ordinal scale, for ranks or scores (Krippendorff 2011, "Computing Krippendorff's
    Alpha-Reliability").

    Args:
        units: the values that raters gave to each item; raters need not be identified.

    Returns: None if no item has two values, or all values are the same.
    """
    counts = [Counter(unit) for unit in units if len(unit) > 1]
    values = sorted({value for unit in counts for value in unit})
    if len(values) < 2:
        return None
    table = np.array([[unit[value] for value in values] for unit in counts])
    return float(krippendorff.alpha(value_counts=table, value_domain=values, level_of_measurement="ordinal"))


@dataclass(frozen=True)
class _Friedman:
    """W and Friedman's statistic, m (k - 1) W, which is approximately chi-square distributed for random ranks."""

    w: float
    chi_square: float
    freedom: int


def _friedman(ranks_RK: Sequence[Sequence[float]]) -> _Friedman | None:
    raters, items = len(ranks_RK), len(ranks_RK[0]) if ranks_RK else 0
    if raters < 2 or items < 2:
        return None
    ranked = np.array([stats.rankdata(ranks) for ranks in ranks_RK])
    ties = sum(t**3 - t for ranks in ranks_RK for t in Counter(ranks).values())
    most = raters**2 * (items**3 - items) - raters * ties
    if not most:
        return None
    sums = ranked.sum(axis=0)
    w = 12 * float(((sums - sums.mean()) ** 2).sum()) / most
    return _Friedman(w, raters * (items - 1) * w, items - 1)


def _complete(row: Rankings) -> list[list[float]]:
    """The rankings in which no item is missing."""
    ranked = [[rank for rank in ranks if rank is not None] for ranks in row.ranks_RK]
    return [ranks for ranks, all_items in zip(ranked, row.ranks_RK, strict=True) if len(ranks) == len(all_items)]


def _concordance(row: Rankings, friedman: _Friedman | None) -> Concordance:
    return Concordance(
        id=row.id,
        raters=len(_complete(row)),
        items=len(row.ranks_RK[0]),
        w=None if friedman is None else friedman.w,
        p_value=None if friedman is None else _p_value(friedman.chi_square, friedman.freedom),
    )


def _p_value(chi_square: float, freedom: int) -> float | None:
    return float(stats.chi2.sf(chi_square, freedom)) if freedom else None


def _as_comparisons(row: Rankings) -> list[HumanLabel]:
    """The opinions on each pair of items by the raters who ranked both: the one better, the other, or a tie."""
    labels: list[HumanLabel] = []
    for first, second in combinations(zip(*row.ranks_RK, strict=True), 2):
        both = [(a, b) for a, b in zip(first, second, strict=True) if a is not None and b is not None]
        if both:
            labels.append(HumanLabel.of("a" if a < b else "b" if b < a else "tie" for a, b in both))
    return labels


def _units(rows: Iterable[Rankings]) -> list[list[float]]:
    """All raters' original ranks of each item of each row."""
    return [[rank for rank in ranks if rank is not None] for row in rows for ranks in zip(*row.ranks_RK, strict=True)]
