"""Estimates with 95% confidence intervals.

Several samples of one prompt are not independent, so the prompts are the sample, not the responses. `python -m
benchmarks.coverage` prints the coverage of each interval, by kind of sample and number of prompts.
"""

import math
from collections.abc import Callable, Sequence
from typing import TypeVar

import numpy as np
from scipy import stats

from preceptor.core.types import Frozen

Value = TypeVar("Value")
LEVEL = 0.95
LEAST = 10
"""With fewer prompts, a mean has no interval: no known method covers skewed scores with fewer."""
LEAST_FOR_RATE = 3
"""With fewer prompts, a rate has no interval: with two, it would include more than half of all rates."""
_UPPER = 0.5 + LEVEL / 2
_ALIKE = 1e-12  # a smaller spread is rounding error


class Estimate(Frozen):
    """A number with its interval, which is None if there are too few prompts for one."""

    value: float
    low: float | None
    high: float | None
    n: int
    """Number of prompts behind the estimate, or of rows if the field says so."""

    @property
    def interval(self) -> tuple[float, float] | None:
        """Both ends; None if there is no interval."""
        return None if self.low is None or self.high is None else (self.low, self.high)


def mean_by_prompt(values_of_prompt: Sequence[Sequence[float]]) -> Estimate | None:
    """Mean over prompts of the mean over each prompt's samples, with the interval of `mean_interval` over prompts.

    Args:
        values_of_prompt: the values of each prompt's samples; a prompt without values is left out.

    Returns: None when no prompt has a value.
    """
    means_P = np.array([np.mean(values) for values in values_of_prompt if len(values)])
    if len(means_P) == 0:
        return None
    low, high = mean_interval(means_P) or (None, None)
    return Estimate(value=float(means_P.mean()), low=low, high=high, n=len(means_P))


def rate_by_prompt(values_of_prompt: Sequence[Sequence[float]]) -> Estimate | None:
    """The same for values in [0, 1], with the interval of `rate_interval`; no interval below three prompts.

    Returns: None when no prompt has a value.
    """
    means = [float(np.mean(values)) for values in values_of_prompt if len(values)]
    return bounded_mean(means, 0.0, 1.0) if means else None


def bounded_mean(values_P: Sequence[float], low: float, high: float, least: int = LEAST_FOR_RATE) -> Estimate:
    """The mean of numbers between two bounds, with the interval of a rate on that scale.

    Unlike Student's t, the interval allows for unseen values as far out as the bounds. If most prompts show the same
    difference and only a few another one, as between two policies that mostly answer alike, Student's t is too narrow.

    Args:
        least: the fewest values for which there is an interval.

    Raises: ValueError without any value.
    """
    n = len(values_P)
    if n == 0:
        raise ValueError("a mean of no values")
    shares_P = np.clip((np.array(values_P) - low) / (high - low), 0.0, 1.0)
    value = low + (high - low) * float(shares_P.mean())
    if n < least:
        return Estimate(value=value, low=None, high=None, n=n)
    ends = (low + (high - low) * end for end in rate_interval(shares_P, np.ones(n)))
    return Estimate(value=value, low=min(next(ends), value), high=max(next(ends), value), n=n)


def mean_interval(values_P: np.ndarray) -> tuple[float, float] | None:
    """95% interval of the mean of independent values: Student's t, widened to contain Hall's interval.

    Student's t is symmetric, and for few skewed values it is too short on the side of the long tail. Hall (1992,
    "On the removal of skewness by transformation", section 2) corrects t for skewness by a cubic that can be inverted.

    Returns: None with fewer than ten values, or if all are equal: their spread is then unknown.
    """
    n = len(values_P)
    if n < LEAST or np.ptp(values_P) < _ALIKE:
        return None
    mean, error = float(values_P.mean()), float(values_P.std(ddof=1)) / math.sqrt(n)
    reach = float(stats.t.ppf(_UPPER, n - 1))
    skewness = float(np.mean((values_P - mean) ** 3) / values_P.std() ** 3)
    low, high = (_hall(t, skewness, n) for t in (reach, -reach))
    return mean - error * max(reach, low), mean + error * max(reach, -high)


def _hall(t: float, skewness: float, n: int) -> float:
    """The value of Student's statistic whose transform by Hall's cubic is t."""
    a = skewness / math.sqrt(n)
    if abs(a) < 1e-6:
        return t
    return (float(np.cbrt(1.0 + a * (t - a / 6.0))) - 1.0) * 3.0 / a


def rate_interval(sums_P: np.ndarray, counts_P: np.ndarray) -> tuple[float, float]:
    """95% interval of a rate Σ sums / Σ counts, where each prompt has `counts` values in [0, 1].

    It is Clopper & Pearson's exact interval (1934) for an effective number of trials (Korn & Graubard 1998). A prompt
    whose value is 0 or 1 is one trial. If prompts' values lie between, their variance is smaller than that of trials,
    and they count more; if some prompts have more rows than others, they may count less. The variance is estimated as
    if one further prompt with value 0 or 1 had been observed, so that the interval has a width even if a few prompts
    happen to be equal. With fewer than ten prompts, none counts for more than one trial.
    """
    n = len(sums_P)
    rate = min(max(float(sums_P.sum() / counts_P.sum()), 0.0), 1.0)
    return _clopper_pearson(rate, n * _worth(sums_P, counts_P, rate))


def _clopper_pearson(rate: float, trials: float) -> tuple[float, float]:
    won, lost = rate * trials, (1.0 - rate) * trials
    low = float(stats.beta.ppf(1.0 - _UPPER, won, lost + 1.0)) if won > 0 else 0.0
    high = float(stats.beta.ppf(_UPPER, won + 1.0, lost)) if lost > 0 else 1.0
    return low, high


def _worth(sums_P: np.ndarray, counts_P: np.ndarray, rate: float) -> float:
    """The effective number of trials per prompt."""
    n, of_trials = len(sums_P), rate * (1.0 - rate)
    residuals_P = (sums_P - rate * counts_P) / counts_P.mean()
    variance = (float(residuals_P @ residuals_P) + of_trials) / (n + 1)
    if n == 1 or of_trials < _ALIKE or variance < _ALIKE:
        return 1.0
    worth = of_trials / variance
    freedom = max(1.0, float(counts_P.sum() ** 2 / (counts_P @ counts_P)) - 1.0)  # for equal prompts (Kish 1965)
    known = (stats.norm.ppf(_UPPER) / stats.t.ppf(_UPPER, freedom)) ** 2  # the variance is an estimate
    return float(worth * known if worth < 1.0 - 1e-9 else 1.0 if n < LEAST else max(1.0, worth * known))


def weighted_rate(strata: Sequence[tuple[float, np.ndarray, np.ndarray]]) -> tuple[float, float, float]:
    """The weighted mean of several rates, and its 95% interval, in the manner of `rate_interval`: Clopper and Pearson's
    for the number of trials whose rate would have the same variance (Korn & Graubard 1998). It is never taken for more
    trials than there are prompts.

    Args:
        strata: of each rate, its weight, and the sums and counts of the values in [0, 1] of its prompts.

    Returns: the mean, and both ends.
    """
    total = sum(weight for weight, _, _ in strata)
    weighed = [(weight / total, sums_P, counts_P) for weight, sums_P, counts_P in strata]
    rate = min(1.0, sum(weight * float(sums_P.sum() / counts_P.sum()) for weight, sums_P, counts_P in weighed))
    of_trials, most = rate * (1.0 - rate), sum(len(sums_P) for _, sums_P, _ in strata)
    freedom = max(1, most - len(strata))
    known = float((stats.norm.ppf(_UPPER) / stats.t.ppf(_UPPER, freedom)) ** 2)  # the variance is an estimate
    if of_trials < _ALIKE:
        trials = 1.0 / sum(weight**2 / len(sums_P) for weight, sums_P, _ in weighed)
    else:
        variances = (weight**2 * _variance(sums_P, counts_P, of_trials) for weight, sums_P, counts_P in weighed)
        trials = min(most, known * of_trials / sum(variances))
    low, high = _clopper_pearson(rate, trials)
    return rate, min(low, rate), max(high, rate)


def _variance(sums_P: np.ndarray, counts_P: np.ndarray, of_trials: float) -> float:
    """The variance of a rate, estimated as if one further prompt with value 0 or 1 had been observed."""
    n = len(sums_P)
    residuals_P = (sums_P - float(sums_P.sum() / counts_P.sum()) * counts_P) / counts_P.mean()
    return (float(residuals_P @ residuals_P) + of_trials) / (n + 1) / n if n > 1 else of_trials


def ratio_interval(sums_P: np.ndarray, counts_P: np.ndarray) -> tuple[float, float] | None:
    """95% interval of any ratio Σ sums / Σ counts: `mean_interval` of the prompts' influence on it."""
    ratio, mean_count = float(sums_P.sum() / counts_P.sum()), float(counts_P.mean())
    interval = mean_interval((sums_P - ratio * counts_P) / mean_count)
    return interval and (ratio + interval[0], ratio + interval[1])


def perplexity(log_likelihoods: Sequence[float], tokens: Sequence[int]) -> Estimate | None:
    """exp(-Σ log-likelihood / Σ tokens) over texts, with the interval of the ratio over texts."""
    if not tokens:
        return None
    losses_P, tokens_P = -np.array(log_likelihoods), np.array(tokens, dtype=float)
    value = float(np.exp(losses_P.sum() / tokens_P.sum()))
    interval = ratio_interval(losses_P, tokens_P)
    low, high = (None, None) if interval is None else (float(np.exp(end)) for end in interval)
    return Estimate(value=value, low=low, high=high, n=len(tokens))


def jackknife(groups: Sequence[Sequence[Value]], statistic: Callable[[Sequence[Value]], float]) -> Estimate | None:
    """A statistic of all values, with a delete-one-prompt jackknife interval (Student's t) from ten prompts on.

    For statistics of texts that repeated texts distort: the bootstrap, which repeats texts, would be biased.

    Args:
        groups: the values of each prompt.
    """
    values = [value for group in groups for value in group]
    if not values:
        return None
    value, n = statistic(values), len(groups)
    if n < LEAST:
        return Estimate(value=value, low=None, high=None, n=n)
    without = [statistic([v for j, group in enumerate(groups) if j != i for v in group]) for i in range(n)]
    error = math.sqrt((n - 1) / n * sum((w - sum(without) / n) ** 2 for w in without))
    if error < _ALIKE:
        return Estimate(value=value, low=None, high=None, n=n)
    reach = float(stats.t.ppf(_UPPER, n - 1)) * error
    return Estimate(value=value, low=value - reach, high=value + reach, n=n)
