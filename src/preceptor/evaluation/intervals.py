"""Estimates with 95 % confidence intervals.

Several samples of one prompt are not independent, so prompts are resampled, not samples.
"""

import math
from collections.abc import Callable, Sequence

import numpy as np
from scipy import stats

from preceptor.core.types import Frozen

LEVEL = 0.95
_RESAMPLES = 2000
_BATCH_CELLS = 4_000_000  # resampled numbers held at once
_SEED = 20_230_901  # any fixed number: the same data has the same interval


class Estimate(Frozen):
    """A number with the interval it may lie in. The interval is None where there are too few prompts to have one."""

    value: float
    low: float | None
    high: float | None
    n: int
    """Prompts it rests on."""


def mean_by_prompt(values_of_prompt: Sequence[Sequence[float]]) -> Estimate | None:
    """Mean over prompts of the mean over each prompt's samples, with a BCa bootstrap interval over prompts.

    Args:
        values_of_prompt: the values of each prompt's samples; a prompt without any is left out.

    Returns: None when no prompt has a value.
    """
    means = np.array([np.mean(values) for values in values_of_prompt if len(values)])
    if len(means) == 0:
        return None
    return _bootstrap((means,), lambda m, axis=-1: np.mean(m, axis=axis))  # pyright: ignore


def perplexity(log_likelihoods: Sequence[float], tokens: Sequence[int]) -> Estimate | None:
    """exp(-Σ log-likelihood / Σ tokens) over texts, with a bootstrap interval over texts."""
    if not tokens:
        return None
    return _bootstrap(
        (np.array(log_likelihoods), np.array(tokens, dtype=float)),
        lambda ll, n, axis=-1: np.exp(-np.sum(ll, axis=axis) / np.sum(n, axis=axis)),  # pyright: ignore
    )


def _bootstrap(samples: tuple[np.ndarray, ...], statistic: Callable[..., np.ndarray]) -> Estimate:
    value, n = float(statistic(*samples)), len(samples[0])
    if n < 3:
        return Estimate(value=value, low=None, high=None, n=n)
    if all(np.ptp(sample) == 0 for sample in samples):
        return Estimate(value=value, low=value, high=value, n=n)
    interval = stats.bootstrap(
        samples,
        statistic,
        n_resamples=_RESAMPLES,
        batch=max(1, _BATCH_CELLS // n),
        confidence_level=LEVEL,
        paired=len(samples) > 1,
        method="BCa",
        rng=np.random.default_rng(_SEED),
    ).confidence_interval
    low, high = float(interval.low), float(interval.high)
    if not (math.isfinite(low) and math.isfinite(high)):  # BCa has no interval for some lopsided samples
        return Estimate(value=value, low=None, high=None, n=n)
    return Estimate(value=value, low=low, high=high, n=n)


def jackknife(groups: Sequence[Sequence[str]], statistic: Callable[[Sequence[str]], float]) -> Estimate | None:
    """A statistic of all texts together, with a delete-one-prompt jackknife interval.

    For statistics that repeated texts would distort, where the bootstrap, which repeats texts, is biased.
    """
    texts = [text for group in groups for text in group]
    if not texts:
        return None
    value, n = statistic(texts), len(groups)
    if n < 3:
        return Estimate(value=value, low=None, high=None, n=n)
    without = [statistic([t for j, group in enumerate(groups) if j != i for t in group]) for i in range(n)]
    error = math.sqrt((n - 1) / n * sum((w - sum(without) / n) ** 2 for w in without))
    reach = float(stats.norm.ppf(0.5 + LEVEL / 2)) * error
    return Estimate(value=value, low=value - reach, high=value + reach, n=n)
