"""Estimates how often people prefer something from a few labels by people and many by a judge.

Prediction-powered inference (Angelopoulos et al. 2023, arXiv 2301.09633): the judge's mean over many comparisons is
corrected by its error on those that people labelled too. The estimate is therefore unbiased however wrong the judge is,
and the better the judge, the narrower the interval. The judge's weight is tuned on the same data (PPI++, Angelopoulos,
Duchi & Zrnic 2023, arXiv 2311.01453, on power tuning). There is one condition: people labelled a random sample of the
prompts, as `sampling_plan` draws it, or comparisons that were chosen with known probabilities, whose inverses are then
their weights (Hájek 1971; for predictions Zrnic & Candès 2024, arXiv 2403.03208).

Comparisons of one prompt are not independent, so they are first averaged: below, a label is that of a prompt.
"""

import math
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean

import numpy as np
from scipy import stats

from preceptor.core.hashing import unit_hash
from preceptor.core.types import Frozen
from preceptor.evaluation.intervals import LEVEL, Estimate
from preceptor.evaluation.judges.agreement import share_by_prompt

LEAST = 10
"""With fewer labels by people, their variance is unknown, so there is no interval, and nothing that needs one."""
_Z = float(stats.norm.ppf(0.5 + LEVEL / 2))


@dataclass(frozen=True)
class JudgedRow:
    """A comparison, and how often judge and people prefer the target (response a, for instance, or a policy's)."""

    id: str
    prompt_id: str
    cohort: str
    judge: float
    """The judge's probability, in [0, 1], which carries more information than its choice."""
    human: float | None
    """Share of people in [0, 1], a tie counted half; None if nobody was asked."""
    probability: float | None = None
    """Probability that people would be asked about it, in (0, 1]; None if all prompts were equally likely. Either all
    rows that people labelled have a probability, or none has."""


class PredictionPowered(Frozen):
    """One share, estimated in three ways. All intervals are 95% normal approximations, so widths are comparable."""

    n_human: int
    """Number of prompts that people labelled."""
    n_judge: int
    """Number of prompts that only the judge labelled."""
    human_only: Estimate | None
    """From people's labels alone: unbiased, but wide. None without such labels."""
    judge_only: Estimate
    """From the judge's labels of all prompts: narrow, but as biased as the judge. The interval ignores that bias."""
    prediction_powered: Estimate | None
    """From both: unbiased, and never much wider than from people alone. None with fewer than `LEAST` labels."""
    power: float | None
    """The weight of the judge, lambda of PPI++: 0 ignores it; above 1 if it is less decided than people."""
    effective_labels: float | None
    """Human labels that an equally narrow interval would need without the judge."""
    correlation: float | None
    """Correlation of judge and people, over the prompts that both labelled; None if either never varies."""


class LabelsForWidth(Frozen):
    """How many prompts people have to label, in total, for an interval of a given width."""

    half_width: float
    with_judge: int | None
    """None if labelling every prompt would not be enough: then more prompts are needed."""
    without_judge: int | None


def prediction_powered(rows: Sequence[JudgedRow]) -> PredictionPowered:
    """The share that people prefer, estimated from people alone, from the judge alone and from both.

    If people labelled only some comparisons of a prompt, only these count. If people all agree, the interval is
    Wilson's, and the judge is ignored.

    Raises: ValueError when there are no rows.
    """
    if not rows:
        raise ValueError("nothing was judged")
    data = _by_prompt(rows)
    n, power = len(data.human_L), _power(data)
    human_only, worth = _human_only(data), data.worth
    both, effective = (human_only, worth) if data.enough else (None, None)
    if power:
        value, reach = _powered(data, power) if data.weight_L is None else _powered_by_weight(data, power)
        both = _bounded(value, reach, n)
        effective = worth * (_human_reach(data) / reach) ** 2
    return PredictionPowered(
        n_human=n,
        n_judge=len(data.judge_U),
        human_only=human_only,
        judge_only=_bounded(float(data.judge_all.mean()), _reach(data.judge_all, 1), len(data.judge_all)),
        prediction_powered=both,
        power=power,
        effective_labels=effective,
        correlation=_correlation(data),
    )


def labels_for_width(rows: Sequence[JudgedRow], half_width: float) -> LabelsForWidth:
    """How many prompts people would have to label, with this judge and without any, for ± `half_width`.

    With T prompts judged, n of them labelled by people as well, correlation r and s² the variance of people's labels,
    the variance of the estimate at the best lambda is s² ((1 - r²) / n + r² / T); without the judge it is s² / n. Both
    s² and r are estimated from the existing labels, so the numbers are a plan, not a promise. They are None if there
    are fewer than `LEAST` labels, or all are equal.

    Raises: ValueError when `half_width` does not lie between 0 and 0.5.
    """
    if not 0 < half_width < 0.5:
        raise ValueError(f"half_width = {half_width}: expected a number between 0 and 0.5")
    data = _by_prompt(rows)
    prompts = len(data.judge_all)
    variance = _variance(data) if data.enough else 0.0
    if variance == 0.0:
        return LabelsForWidth(half_width=half_width, with_judge=None, without_judge=None)
    needed = (half_width / _Z) ** 2 / variance  # the target variance, in units of the variance of one label
    explained = max(0.0, _correlation(data) or 0.0) ** 2
    alone = 1.0 / needed
    helped = (1.0 - explained) / (needed - explained / prompts) if alone <= prompts else None
    return LabelsForWidth(half_width=half_width, with_judge=_whole(helped), without_judge=_whole(alone))


def sampling_plan(rows: Sequence[JudgedRow], n: int) -> list[int]:
    """Which comparisons people should label next: positions in `rows` of the first `n` that nobody labelled.

    The order is that of a hash, uniform over prompts: one comparison of each prompt comes first, then a second one, and
    so on. Any beginning of the plan has each cohort's share of prompts, up to one prompt. (The start of a cohort is
    hashed too: a small cohort is as likely to be asked about as a large one.) A longer plan begins with the shorter
    one. So people who stop early still have a random sample, as long as the plan has at most one comparison of each
    prompt, or all prompts have equally many; a part of any other plan must be drawn at random.

    The plan does not choose the comparisons that judges dispute most. A judge learns most from those, but they do not
    represent the rest: the judge is at its worst on them, so every estimate from them has an unknown error.
    """
    turns: defaultdict[tuple[int, str], list[int]] = defaultdict(list)
    for own in _positions_by_prompt(rows).values():
        for turn, position in enumerate(_turns(rows, own)):
            turns[turn, rows[position].cohort].append(position)
    order: list[tuple[float, str, int]] = []
    for (turn, cohort), positions in turns.items():
        positions.sort(key=lambda i: unit_hash("prompt for people", rows[i].prompt_id))
        begin = unit_hash("cohort for people", cohort, turn)
        order += [(turn + (rank + begin) / len(positions), cohort, i) for rank, i in enumerate(positions)]
    return [position for _, _, position in sorted(order) if rows[position].human is None][:n]


def labels_worth(rows: Sequence[JudgedRow]) -> float:
    """The effective number of labels: how many labels of equal weight would have the same variance (Kish 1965)."""
    return _by_prompt(rows).worth


def plan_probabilities(rows: Sequence[JudgedRow], plan: Sequence[int]) -> list[float]:
    """The probability with which `sampling_plan` chose each position of its plan.

    Each comparison of a prompt is equally likely to get any turn, and the plan takes all comparisons of a turn with the
    same probability.
    """
    listed, taken, chosen = Counter[int](), Counter[int](), set(plan)
    by_prompt = _positions_by_prompt(rows)
    for own in by_prompt.values():
        for turn, position in enumerate(_turns(rows, own)):
            listed[turn] += 1
            taken[turn] += position in chosen
    turns = [range(len(by_prompt[rows[i].prompt_id])) for i in plan]
    return [fmean(taken[turn] / listed[turn] for turn in own) for own in turns]


def _turns(rows: Sequence[JudgedRow], own: Sequence[int]) -> list[int]:
    """A prompt's comparisons in the order in which people are asked about them."""
    return sorted(own, key=lambda i: unit_hash("row for people", rows[i].id))


@dataclass(frozen=True)
class _ByPrompt:
    """Means by prompt, for L prompts that people labelled and U others."""

    human_L: np.ndarray
    judge_L: np.ndarray
    judge_U: np.ndarray
    judge_all: np.ndarray
    weight_L: np.ndarray | None
    """Weights of the labelled prompts, with sum 1; None if all are equal."""

    @property
    def worth(self) -> float:
        """How many prompts of equal weight would have the same variance (Kish 1965)."""
        return float(len(self.human_L)) if self.weight_L is None else 1.0 / float(np.sum(self.weight_L**2))

    @property
    def known_by(self) -> float:
        """From how many prompts of equal weight a variance could be estimated equally well (Satterthwaite 1946): fewer
        than `worth`, because a variance depends on the squared weights.
        """
        if self.weight_L is None:
            return float(len(self.human_L))
        return float(np.sum(self.weight_L**2) ** 2 / np.sum(self.weight_L**4))

    @property
    def enough(self) -> bool:
        """Whether there are enough labels for an interval."""
        return self.worth >= LEAST and self.known_by >= LEAST / 2


def _by_prompt(rows: Sequence[JudgedRow]) -> _ByPrompt:
    human: list[float] = []
    beside: list[float] = []
    alone: list[float] = []
    all_prompts: list[float] = []
    weights: list[float] = []
    for positions in _positions_by_prompt(rows).values():
        own = [rows[i] for i in positions]
        asked = [row for row in own if row.human is not None]
        all_prompts.append(fmean(row.judge for row in own))
        if asked:
            parts = [1.0 / (row.probability or 1.0) for row in asked]
            human.append(_weighted_mean([row.human or 0.0 for row in asked], parts))
            beside.append(_weighted_mean([row.judge for row in asked], parts))
            weights.append(sum(parts) / len(own))
        else:
            alone.append(all_prompts[-1])
    planned = any(row.probability is not None for row in rows if row.human is not None)
    weight_L = np.array(weights) / sum(weights) if planned else None
    if weight_L is not None and np.ptp(weight_L) <= 1e-9 * np.max(weight_L):
        weight_L = None
    return _ByPrompt(np.array(human), np.array(beside), np.array(alone), np.array(all_prompts), weight_L)


def _weighted_mean(values: Sequence[float], weights: Sequence[float]) -> float:
    return math.fsum(w * v for w, v in zip(weights, values, strict=True)) / math.fsum(weights)


def _positions_by_prompt(rows: Sequence[JudgedRow]) -> dict[str, list[int]]:
    positions: dict[str, list[int]] = {}
    for position, row in enumerate(rows):
        positions.setdefault(row.prompt_id, []).append(position)
    return positions


def _power(data: _ByPrompt) -> float | None:
    """Lambda of PPI++ for a mean: cov(human, judge) / ((1 + n/N) var(judge)); None with too few labels.

    It is never below 0: a judge that contradicts people is ignored. Unlike in the library, it may exceed 1: the
    probabilities of an undecided judge stay near one half, and stretching them helps.
    """
    n, others = len(data.human_L), len(data.judge_U)
    if not data.enough:
        return None
    if data.weight_L is not None:
        both, own = (_error_product(data.weight_L, x_L, data.judge_L) for x_L in (data.human_L, data.judge_L))
        return max(0.0, both / own) if others and own > 1e-15 else 0.0
    spread = float(np.var(np.concatenate([data.judge_L, data.judge_U]), ddof=1))
    if not others or spread < 1e-12:
        return 0.0
    return max(0.0, float(np.cov(data.human_L, data.judge_L, ddof=0)[0, 1]) / spread / (1 + n / others))


def _powered(data: _ByPrompt, power: float) -> tuple[float, float]:
    """The estimate of PPI++ for a mean, and the half-width of its interval.

    The normal interval of the paper (and of its authors' library, `ppi-python`) is too narrow with few labels (coverage
    90 % at 20), because it treats their variance, and the lambda that made it small, as known. So this uses Student's t
    with one degree of freedom less for each of mean and lambda.
    """
    scaled_U, beyond_L = power * data.judge_U, data.human_L - power * data.judge_L
    error = math.hypot(np.std(scaled_U) / math.sqrt(len(scaled_U)), np.std(beyond_L) / math.sqrt(len(beyond_L)))
    return float(np.mean(scaled_U) + np.mean(beyond_L)), _Z * error * _few(len(beyond_L), 2)


def _powered_by_weight(data: _ByPrompt, power: float) -> tuple[float, float]:
    """The same for weighted labels: lambda times the judge's mean over all N prompts, corrected by the weighted mean of
    r, people's labels minus lambda times the judge's.

    This correction has the variance Σ w² (r - mean r)². The judge's mean over all prompts adds (var h - var r) / N,
    since h = lambda f + r, because the prompts are themselves a sample of those that might be asked.
    """
    w_L, prompts = data.weight_L, len(data.judge_all)
    assert w_L is not None  # checked by the caller
    beyond_L = data.human_L - power * data.judge_L
    value = power * float(data.judge_all.mean()) + float(w_L @ beyond_L)
    shared = _spread(w_L, data.human_L) - _spread(w_L, beyond_L)
    variance = _error_product(w_L, beyond_L, beyond_L) + max(0.0, shared) / prompts
    return value, _Z * math.sqrt(variance) * _few(data.known_by, 2)


def _error_product(w_L: np.ndarray, x_L: np.ndarray, y_L: np.ndarray) -> float:
    """Covariance of two weighted means: Σ w² (x - mean x) (y - mean y), for weights that sum to 1."""
    return float(np.sum(w_L**2 * (x_L - w_L @ x_L) * (y_L - w_L @ y_L)))


def _spread(w_L: np.ndarray, x_L: np.ndarray) -> float:
    """Weighted variance."""
    return float(w_L @ (x_L - w_L @ x_L) ** 2)


def _variance(data: _ByPrompt) -> float:
    """The variance of people's labels over all prompts."""
    if data.weight_L is None:
        return float(np.var(data.human_L, ddof=1))
    return _spread(data.weight_L, data.human_L) * data.worth / (data.worth - 1)


def _human_reach(data: _ByPrompt) -> float:
    if data.weight_L is None:
        return _reach(data.human_L, 1)
    return _Z * math.sqrt(_error_product(data.weight_L, data.human_L, data.human_L)) * _few(data.known_by, 1)


def _reach(values: np.ndarray, estimated: int) -> float:
    n = len(values)
    return _Z * float(np.std(values)) / math.sqrt(n) * _few(n, estimated) if n > estimated else math.inf


def _few(n: float, estimated: int) -> float:
    """The factor that widens a normal interval for `n` values from which `estimated` parameters were estimated."""
    return float(stats.t.ppf(0.5 + LEVEL / 2, n - estimated)) / _Z * math.sqrt(n / (n - estimated))


def _human_only(data: _ByPrompt) -> Estimate | None:
    n = len(data.human_L)
    if not n:
        return None
    value = float(np.average(data.human_L, weights=data.weight_L))
    if not data.enough:
        return Estimate(value=value, low=None, high=None, n=n)
    if np.ptp(data.human_L) < 1e-12:
        alike = share_by_prompt([(str(i), float(v)) for i, v in enumerate(data.human_L[: math.floor(data.worth)])])
        assert alike is not None  # there are labels
        return Estimate(value=alike.value, low=alike.low, high=alike.high, n=n)
    return _bounded(value, _human_reach(data), n)


def _bounded(value: float, reach: float, n: int) -> Estimate:
    """An estimate of a share, with value and interval clipped to [0, 1]."""
    value, low, high = (min(1.0, max(0.0, v)) for v in (value, value - reach, value + reach))
    known = math.isfinite(reach)
    return Estimate(value=value, low=low if known else None, high=high if known else None, n=n)


def _correlation(data: _ByPrompt) -> float | None:
    if not data.enough or min(np.ptp(data.human_L), np.ptp(data.judge_L)) < 1e-12:
        return None
    if (w_L := data.weight_L) is not None:
        of_both = w_L @ ((data.human_L - w_L @ data.human_L) * (data.judge_L - w_L @ data.judge_L))
        return float(of_both) / math.sqrt(_spread(w_L, data.human_L) * _spread(w_L, data.judge_L))
    return float(np.corrcoef(data.human_L, data.judge_L)[0, 1])


def _whole(labels: float | None) -> int | None:
    return None if labels is None else max(LEAST, math.ceil(labels))
