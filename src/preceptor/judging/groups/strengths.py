"""Bradley-Terry strengths of the responses of a group, with their uncertainty, from soft preferences.

The probability that response i is better than j is σ(u_i - u_j) (Bradley & Terry 1952). A preference p counts as the
share p of a win and the share 1 - p of a loss. The likelihood alone has no maximum where one response wins with
certainty, so each response also has a hundredth of a tie against an opponent of strength 0: a prior that moves
ordinary preferences by less than they can be known.

A soft preference is not a vote, so the curvature of the likelihood overstates its noise. How far the noise is below
that of a vote is estimated from what the strengths leave unexplained (Wedderburn 1974; Papke & Wooldridge 1996), over
all groups that are fitted together. A design without a surplus of comparisons (`anchor`, `knockout`) leaves nothing
unexplained; there each preference counts as one vote. No variable in [0, 1] varies more, so these intervals are too
wide rather than too narrow.
"""

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import stats
from scipy.special import expit

from preceptor.core.odds import sigmoid
from preceptor.judging.groups.design import Played, parts_of

PRIOR = 0.01
"""Weight of each response's tie against an opponent of strength 0, where a comparison has weight 1."""
_UPPER = 0.975
_STEPS = 100
_STILL = 1e-10


@dataclass(frozen=True)
class Strengths:
    """The strengths of k responses, in nats: differences are the log-odds that one is better than another."""

    values: tuple[float | None, ...]
    """Each less the mean of all. None abstains: a response without a comparison, or outside the largest part."""
    errors: tuple[float | None, ...]
    """Standard error of each value."""
    quantile: float
    """Standard errors from a value to either end of its 95% interval."""
    parts: int
    """Parts that the graph of comparisons falls into, responses without any left out. Strengths of different parts
    cannot be compared, so only the largest part has them. 0 if there is no comparison."""

    def interval(self, place: int) -> tuple[float, float] | None:
        """The 95% interval of a value; None if the response abstains."""
        value, error = self.values[place], self.errors[place]
        if value is None or error is None:
            return None
        return value - self.quantile * error, value + self.quantile * error

    @property
    def margins(self) -> tuple[float | None, ...]:
        """For each response, the mean over its siblings of 2 P(it is better) - 1, in [-1, 1]."""
        known = [value for value in self.values if value is not None]
        return tuple(None if value is None else _margin(value, known) for value in self.values)


@dataclass(frozen=True)
class _Fit:
    """The fit of a group's largest part, whose responses are at these places of the group."""

    places: list[int]
    values_K: np.ndarray
    covariance_KK: np.ndarray
    """Of the values, if each preference were a vote."""
    unexplained: float
    """Sum of squared residuals, each divided by the variance of a vote."""
    surplus: int
    """Comparisons beyond those that the strengths need."""
    parts: int


def bradley_terry(count: int, played: Sequence[Played]) -> Strengths:
    """The strengths of a group's `count` responses from its comparisons."""
    [strengths] = fit_groups([(count, played)])
    return strengths


def fit_groups(groups: Sequence[tuple[int, Sequence[Played]]]) -> list[Strengths]:
    """The strengths of several groups, given as the number of responses and the comparisons. Each group has strengths
    of its own; how noisy the judge's preferences are is estimated from all of them together.
    """
    fits = [_fit(count, played) for count, played in groups]
    surplus = sum(fit.surplus for fit in fits if fit is not None)
    noise, quantile = 1.0, float(stats.norm.ppf(_UPPER))
    if surplus:
        noise = sum(fit.unexplained for fit in fits if fit is not None) / surplus
        quantile = float(stats.t.ppf(_UPPER, surplus))
    return [_strengths(count, fit, noise, quantile) for (count, _), fit in zip(groups, fits, strict=True)]


def _strengths(count: int, fit: _Fit | None, noise: float, quantile: float) -> Strengths:
    values: list[float | None] = [None] * count
    errors: list[float | None] = [None] * count
    if fit is not None:
        for k, place in enumerate(fit.places):
            values[place] = float(fit.values_K[k])
            errors[place] = math.sqrt(noise * max(0.0, float(fit.covariance_KK[k, k])))
    return Strengths(tuple(values), tuple(errors), quantile, 0 if fit is None else fit.parts)


def _fit(count: int, played: Sequence[Played]) -> _Fit | None:
    """The fit of the largest part; of equally large ones, that of the first response. None without a comparison."""
    known = [(game.i, game.j, game.p) for game in played if game.p is not None]
    if not known:
        return None
    part = parts_of(count, played)
    sizes = Counter(part)
    largest = max(sizes, key=lambda root: (sizes[root], -root))
    places = [place for place in range(count) if part[place] == largest]
    index = {place: k for k, place in enumerate(places)}
    games = [(index[i], index[j], p) for i, j, p in known if i in index]
    first_N, second_N = np.array([i for i, _, _ in games]), np.array([j for _, j, _ in games])
    p_N = np.array([p for _, _, p in games])
    values_K, curvature_KK = _maximum(len(places), first_N, second_N, p_N)
    expected_N = expit(values_K[first_N] - values_K[second_N])
    centre_KK = np.eye(len(places)) - 1.0 / len(places)
    return _Fit(
        places,
        values_K - values_K.mean(),
        centre_KK @ np.linalg.inv(curvature_KK) @ centre_KK,
        float(((p_N - expected_N) ** 2 / np.maximum(expected_N * (1.0 - expected_N), _STILL)).sum()),
        len(games) - len(places) + 1,
        sum(size > 1 for size in sizes.values()),
    )


def _maximum(count: int, first_N: np.ndarray, second_N: np.ndarray, p_N: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The strengths of highest posterior probability by Newton's method, and the curvature there.

    A step is halved while it lowers the posterior, which is concave.
    """
    values_K, step_K = np.zeros(count), np.zeros(count)
    loss, curvature_KK = math.inf, np.eye(count)
    for _ in range(_STEPS):
        trial_K = values_K + step_K
        now, gradient_K, curvature_now_KK = _posterior(trial_K, first_N, second_N, p_N)
        if now > loss + _STILL * abs(loss):
            step_K = step_K / 2
            continue
        values_K, loss, curvature_KK = trial_K, now, curvature_now_KK
        step_K = -np.linalg.solve(curvature_KK, gradient_K)
        if np.abs(step_K).max() < _STILL:
            break
    return values_K, curvature_KK


def _posterior(
    values_K: np.ndarray, first_N: np.ndarray, second_N: np.ndarray, p_N: np.ndarray
) -> tuple[float, np.ndarray, np.ndarray]:
    """Minus the log-posterior, its gradient, and its curvature."""
    difference_N, count = values_K[first_N] - values_K[second_N], len(values_K)
    expected_N, drawn_K = expit(difference_N), expit(values_K)
    loss = float((np.logaddexp(0.0, difference_N) - p_N * difference_N).sum())
    loss += PRIOR * float((np.logaddexp(0.0, values_K) - 0.5 * values_K).sum())
    slope_N, weight_N = expected_N - p_N, expected_N * (1.0 - expected_N)
    gradient_K = np.bincount(first_N, slope_N, count) - np.bincount(second_N, slope_N, count)
    gradient_K += PRIOR * (drawn_K - 0.5)
    own_K = np.bincount(first_N, weight_N, count) + np.bincount(second_N, weight_N, count)
    curvature_KK = np.diag(own_K + PRIOR * drawn_K * (1.0 - drawn_K))
    np.subtract.at(curvature_KK, (first_N, second_N), weight_N)
    np.subtract.at(curvature_KK, (second_N, first_N), weight_N)
    return loss, gradient_K, curvature_KK


def _margin(value: float, known: Sequence[float]) -> float:
    """The response itself, at 2 · 0.5 - 1 = 0, is among the known ones."""
    if len(known) < 2:
        return 0.0
    return math.fsum(2.0 * sigmoid(value - other) - 1.0 for other in known) / (len(known) - 1)
