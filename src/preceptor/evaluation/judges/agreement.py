"""Measures of how a judge's preferences agree with people's, computed from plain rows.

AI labeler alignment (section "Evaluation") and position bias (appendix on position bias in LLM labelers) are those of
Lee et al. 2023 (arXiv 2309.00267), with intervals that allow for the dependence between comparisons of one prompt. A
judge's exact 0.5 counts one half wherever a choice is counted. A measure that cannot be computed is None, never 0.
"""

import math
from collections import Counter, defaultdict
from collections.abc import Hashable, Iterable, Sequence
from itertools import combinations
from typing import Literal, TypeAlias

import krippendorff
import numpy as np
from sklearn.metrics import cohen_kappa_score

from preceptor.core.types import Comparison, Frozen, HumanLabel, Preference, Presentation
from preceptor.evaluation.intervals import LEAST_FOR_RATE, Estimate, rate_interval
from preceptor.judging.position import Presented, first_wins, mean, p_by_order, same_position_wins
from preceptor.judging.trajectory import response_text

Side: TypeAlias = Literal["a", "b"]
BINS = 10


class ReliabilityBin(Frozen):
    """The rows in which a judge had about the same confidence in the response that it preferred."""

    low: float
    high: float
    confidence: float
    """Mean probability that the judge gave to the response it preferred."""
    correct: float
    """Share of these rows in which people preferred it too."""
    n: int


def chosen(p_a: float) -> Literal["a", "b", "tie"]:
    """The response that a probability of response a prefers; exactly 0.5 is a tie."""
    return "a" if p_a > 0.5 else "b" if p_a < 0.5 else "tie"


def correctness(p_a: float, majority: Side) -> float:
    """1 if a judge prefers what people prefer, 0 if it does not, 0.5 if it is undecided."""
    choice = chosen(p_a)
    return 0.5 if choice == "tie" else float(choice == majority)


def share_by_prompt(values: Sequence[tuple[str, float]]) -> Estimate | None:
    """The mean of all rows' values in [0, 1], with equal weight for each row, and the interval of `rate_interval` over
    prompts.

    Args:
        values: (prompt id, value) of each row.

    Returns: a share of `n` rows; None if there is no row.
    """
    if not values:
        return None
    sums, counts = _sums(values)
    low, high = rate_interval(sums, counts)
    value = min(max(float(sums.sum() / counts.sum()), low), high)  # rounding errors at 0 and 1
    return Estimate(value=value, low=low, high=high, n=len(values))


def difference_by_prompt(values: Sequence[tuple[str, float]]) -> Estimate | None:
    """The mean of all rows' differences of two shares, in [-1, 1], and its interval over prompts: that of a share, on
    another scale. There is no interval with fewer than three prompts.

    Returns: `n` is the number of rows; None if there is no row.
    """
    if not values:
        return None
    sums, counts = _sums(values)
    value = float(sums.sum() / counts.sum())
    if len(sums) < LEAST_FOR_RATE:
        return Estimate(value=value, low=None, high=None, n=len(values))
    low, high = rate_interval((sums + counts) / 2.0, counts)
    return Estimate(value=value, low=2.0 * low - 1.0, high=2.0 * high - 1.0, n=len(values))


def _sums(values: Sequence[tuple[str, float]]) -> tuple[np.ndarray, np.ndarray]:
    """Sum and number of the values of each prompt."""
    of_prompt: defaultdict[str, list[float]] = defaultdict(list)
    for prompt, value in values:
        of_prompt[prompt].append(value)
    return np.array([sum(v) for v in of_prompt.values()]), np.array([float(len(v)) for v in of_prompt.values()])


def reliability(rows: Sequence[tuple[float, Side]]) -> tuple[ReliabilityBin, ...]:
    """Confidence against correctness in ten equal-width bins over [0.5, 1]; empty bins are left out.

    Which response is called a is arbitrary, so the bins divide the probability of the response that the judge prefers,
    max(p_a, 1 - p_a), and not p_a.

    Args:
        rows: p_a and what most people prefer.
    """
    bins: defaultdict[int, list[tuple[float, float]]] = defaultdict(list)
    for p_a, majority in rows:
        confidence = max(p_a, 1.0 - p_a)
        index = min(int((confidence - 0.5) * 2 * BINS + 1e-9), BINS - 1)
        bins[index].append((confidence, correctness(p_a, majority)))
    return tuple(
        ReliabilityBin(
            low=0.5 + index / (2 * BINS),
            high=0.5 + (index + 1) / (2 * BINS),
            confidence=math.fsum(confidence for confidence, _ in entries) / len(entries),
            correct=math.fsum(right for _, right in entries) / len(entries),
            n=len(entries),
        )
        for index, entries in sorted(bins.items())
    )


def calibration_error(bins: Sequence[ReliabilityBin]) -> float | None:
    """Expected calibration error: Σ n · |confidence - correct| / Σ n over bins (Guo et al. 2017, equation 3).

    Chance alone makes it positive, more so with fewer rows.
    """
    total = sum(b.n for b in bins)
    return math.fsum(b.n * abs(b.confidence - b.correct) for b in bins) / total if total else None


def brier_score(rows: Sequence[tuple[float, Side]]) -> float | None:
    """Mean of (p_a - y)², y = 1 where most people prefer a, else 0 (Brier 1950). Always answering 0.5 scores 0.25."""
    return math.fsum((p - (majority == "a")) ** 2 for p, majority in rows) / len(rows) if rows else None


def kappa(rows: Sequence[tuple[float, Side]]) -> float | None:
    """Cohen's kappa of the judge's choice and the majority's; undecided rows are left out.

    None if judge and people name only one side in all rows: agreement by chance is then certain.
    """
    decided = [(chosen(p), majority) for p, majority in rows if chosen(p) != "tie"]
    if len({side for pair in decided for side in pair}) < 2:
        return None
    return float(cohen_kappa_score([judge for judge, _ in decided], [people for _, people in decided]))


def human_agreement(labels: Iterable[HumanLabel]) -> float | None:
    """How often two people agree: the mean over rows of the share of agreeing pairs of raters. A tie is an opinion."""
    shares = [_agreeing_pairs(label.ratings) for label in labels if len(label.ratings) > 1]
    return math.fsum(shares) / len(shares) if shares else None


def one_person_agreement(rows: Iterable[tuple[float, HumanLabel]]) -> float | None:
    """How often the judge agrees with one person, over rows that several people rated. Compare this with
    `human_agreement`, not alignment: agreeing with a majority is easier than with a person. An undecided judge counts
    as "tie".
    """
    shares = [
        sum(rating == chosen(p_a) for rating in label.ratings) / len(label.ratings)
        for p_a, label in rows
        if len(label.ratings) > 1
    ]
    return math.fsum(shares) / len(shares) if shares else None


def krippendorff_alpha(opinions: Iterable[Sequence[str]]) -> float | None:
    """Krippendorff's nominal alpha over rows' opinions; raters need not be identified.

    None if no row has two opinions, or all opinions are the same.
    """
    counts = [Counter(row) for row in opinions if len(row) > 1]
    values = sorted({value for row in counts for value in row})
    if len(values) < 2:
        return None
    table = np.array([[row[value] for value in values] for row in counts])
    return float(krippendorff.alpha(value_counts=table, level_of_measurement="nominal"))


def single_order(preference: Preference) -> float:
    """p_a from only the presentations with a first; p_a itself if the judge saw only one order. For an ensemble, the
    mean over all its judges' presentations, regardless of their weights.
    """
    by_order = p_by_order(_presented(preference))
    return mean(by_order["ab"]) if len(by_order) == 2 else preference.p_a


def both_orders_gain(rows: Sequence[tuple[str, Preference, Side]]) -> Estimate | None:
    """What showing both orders changes in the alignment, beside showing only response a first; with its interval over
    prompts. None if no judgement was asked in both, or none depends on the order.

    Args:
        rows: prompt id, the judge's preference, and what most people prefer.
    """
    if not any(len({mean(v) for v in p_by_order(_presented(p)).values()}) > 1 for _, p, _ in rows):
        return None
    return difference_by_prompt(
        [(prompt, correctness(p.p_a, side) - correctness(single_order(p), side)) for prompt, p, side in rows]
    )


def position_bias(preferences: Iterable[Preference]) -> float | None:
    """Share of comparisons shown in both orders in which the same position wins after the swap (Lee et al. 2023)."""
    wins = [same for p in preferences if (same := same_position_wins(_presented(p))) is not None]
    return sum(wins) / len(wins) if wins else None


def first_position_rate(preferences: Iterable[Preference]) -> float | None:
    """Share of all presentations in which the response shown first wins."""
    wins = [win for preference in preferences for win in first_wins(_presented(preference))]
    return mean(wins) if wins else None


def longer(comparison: Comparison) -> Literal["a", "b", "tie"]:
    """Which response has more characters; all messages of a trajectory count."""
    a, b = len(response_text(comparison.a)), len(response_text(comparison.b))
    return "a" if a > b else "b" if b > a else "tie"


def longer_preferred_rate(preferences: Iterable[Preference]) -> float | None:
    """Share of comparisons of responses with different lengths in which the judge prefers the longer one."""
    hits = [correctness(p.p_a, side) for p in preferences if (side := longer(p.comparison)) != "tie"]
    return mean(hits) if hits else None


def longer_baseline(rows: Iterable[tuple[Comparison, Side]]) -> float | None:
    """Alignment of a judge that always prefers the longer response; equal lengths count half."""
    hits = [correctness({"a": 1.0, "b": 0.0, "tie": 0.5}[longer(comparison)], side) for comparison, side in rows]
    return mean(hits) if hits else None


def above_longer(rows: Sequence[tuple[Comparison, float, Side]]) -> Estimate | None:
    """A judge's alignment minus that of always preferring the longer response, with its interval over prompts.

    Args:
        rows: comparison, the judge's p_a, and what most people prefer.
    """
    rule = {"a": 1.0, "b": 0.0, "tie": 0.5}
    return difference_by_prompt(
        [(c.prompt.id, correctness(p_a, side) - correctness(rule[longer(c)], side)) for c, p_a, side in rows]
    )


def self_consistency(preferences: Iterable[Preference]) -> float | None:
    """How often two samples of one presentation (same judge, order, principles) agree: the mean share of agreeing pairs
    over presentations with several samples.
    """
    shares: list[float] = []
    for preference in preferences:
        for opinion in preference.members or (preference,):
            samples: defaultdict[Hashable, list[Presentation]] = defaultdict(list)
            for presentation in opinion.presentations:
                samples[presentation.order, presentation.principles].append(presentation)
            choices = ([chosen(s.p_a) for s in group] for group in samples.values() if len(group) > 1)
            shares += [_agreeing_pairs(group) for group in choices]
    return mean(shares) if shares else None


def _agreeing_pairs(opinions: Sequence[str]) -> float:
    pairs = list(combinations(opinions, 2))
    return sum(one == other for one, other in pairs) / len(pairs)


def _presented(preference: Preference) -> list[Presented]:
    return [(presentation.order, presentation.p_a) for presentation in preference.presentations]
