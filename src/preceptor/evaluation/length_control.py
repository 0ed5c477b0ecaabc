"""Win rates at equal length: what is left of a win rate when neither response is the longer one.

Both corrections are logistic regressions with an intercept θ and one effect φ of length, x being 0 at equal length:
logit p = θ + φ·x, and the controlled win rate is σ(θ). They differ in x and in what counts as the outcome. Each prompt
weighs the same, as in the win rate itself, however many pairs it has. Intervals come from a Bayesian bootstrap over
prompts of the whole fit.

Nothing can be fitted, and there is no controlled rate, where length alone tells wins from losses (no pair that was not
won is longer than one that was not lost, or none is shorter): the likelihood then has no maximum (Albert & Anderson
1984). That holds as well where all pairs are won, or all are lost, or all lengths are in the same relation. Where it
all but does, the fit would be sure of what it cannot know. So every fit starts with half a win and half a loss of two
responses of equal length, drawn anew in each resample. Where length has no effect that is Jeffreys' interval of a
binomial rate, and moves a rate over a hundred prompts by less than half a percentage point.
"""

from collections import Counter
from collections.abc import Sequence

import numpy as np
from scipy.special import expit

from preceptor.core.types import Frozen
from preceptor.evaluation.agreement import correctness
from preceptor.evaluation.intervals import Estimate
from preceptor.evaluation.logistic import SEED, fit_logistic, percentile_estimate, prompt_weights
from preceptor.evaluation.pairs import JudgedPair, between, by_prompt
from preceptor.evaluation.win_rate import outcome, rate_by_prompt

_START = 0.5  # wins, and losses, at equal length before any prompt is judged


class LengthControl(Frozen):
    """A win rate and its two corrections for length. Intervals are 95 %, bootstrapped over prompts."""

    policy: str
    against: str
    raw: Estimate
    """The win rate as in `preceptor.evaluation.win_rate`."""
    at_equal_ratio: Estimate | None
    """Lee et al. 2023: logistic regression of the outcome, a tie counted half, on the ratio of lengths, read at a ratio
    of 1. The ratio enters by its logarithm. None where there is nothing to fit."""
    length_controlled: Estimate | None
    """Dubois et al. 2024 (AlpacaEval 2), minimal form: logit p = θ + φ·tanh(d / sd(d)), d the difference of lengths,
    read at d = 0, with the same outcomes. None where there is nothing to fit."""
    length_effect: float | None
    """φ: log-odds for each unit of tanh of the standardised difference; positive where the judge favours length."""
    length_ratio: float | None
    """Mean length of `policy`'s responses over that of `against`'s."""
    longer_preferred: float | None
    """Share of pairs of different length in which the longer one wins; an undecided pair counts half."""

    @property
    def changes_sign(self) -> bool:
        """Whether the raw rate and a controlled one lie on different sides of one half."""
        controlled = [each.value for each in (self.at_equal_ratio, self.length_controlled) if each is not None]
        return any((value - 0.5) * (self.raw.value - 0.5) < 0 for value in controlled)


def length_control(pairs: Sequence[JudgedPair], policy: str, against: str) -> LengthControl | None:
    """The win rate of a policy with the effect of length taken out; None where the two were never compared.

    Of Lee et al. 2023 (arXiv 2309.00267, appendix on controlling for response length) it departs in one thing: the
    ratio enters by its logarithm, so that the rate of B against A is one less that of A against B, and one very short
    response does not decide the fit. Lengths count one character more than they have there, for empty responses.
    Of Dubois et al. 2024 (arXiv 2404.04475) the instructions' difficulty, which takes many models to estimate, and the
    penalty are left out, and outcomes are wins, ties and losses as in the rate that is corrected: a judge whose
    probabilities all lie near one half would seem to find no difference.
    """
    found = between(pairs, policy, against)
    if not found:
        return None
    prompts = [pair.prompt_id for pair in found]
    lengths_a, lengths_b = np.array([(pair.length_a, pair.length_b) for pair in found], dtype=float).T
    weights_N = _weights(prompts)
    outcomes_N = np.array([outcome(pair.p_a) for pair in found])
    ratio = _at_equal_length(np.log1p(lengths_a) - np.log1p(lengths_b), outcomes_N, prompts)
    difference = _at_equal_length(_squashed(lengths_a - lengths_b, weights_N), outcomes_N, prompts)
    mean_b = float(weights_N @ lengths_b)
    return LengthControl(
        policy=policy,
        against=against,
        raw=rate_by_prompt([[outcome(pair.p_a) for pair in group] for group in by_prompt(found).values()]),
        at_equal_ratio=None if ratio is None else ratio[0],
        length_controlled=None if difference is None else difference[0],
        length_effect=None if difference is None else difference[1],
        length_ratio=float(weights_N @ lengths_a) / mean_b if mean_b else None,
        longer_preferred=_longer_preferred(found),
    )


def _at_equal_length(x_N: np.ndarray, outcomes_N: np.ndarray, prompts: Sequence[str]) -> tuple[Estimate, float] | None:
    """σ(θ) and φ of logit p = θ + φ·x; None where the likelihood has no maximum."""
    not_lost, not_won = x_N[outcomes_N > 0], x_N[outcomes_N < 1]
    if not len(not_lost) or not len(not_won):
        return None
    if not_won.max() <= not_lost.min() or not_lost.max() <= not_won.min():
        return None
    ids, prompt_N = np.unique(prompts, return_inverse=True)
    x_N, outcomes_N = np.append(x_N, [0.0, 0.0]), np.append(outcomes_N, [1.0, 0.0])
    design_NK = np.stack([np.ones_like(x_N), x_N], axis=1)
    weights_N = np.append(_weights(prompts), [_START, _START])
    (point_K,) = fit_logistic(design_NK, outcomes_N, weights_N[None])
    rng = np.random.default_rng(SEED)
    drawn_RN = prompt_weights(len(ids), rng)[:, prompt_N] * _weights(prompts)
    resampled_RN = np.concatenate([drawn_RN, rng.gamma(_START, size=(len(drawn_RN), 2))], axis=1)
    resampled_RK = fit_logistic(design_NK, outcomes_N, resampled_RN, start_K=point_K)
    estimate = percentile_estimate(float(expit(point_K[0])), expit(resampled_RK[:, 0]), len(ids))
    return estimate, float(point_K[1])


def _longer_preferred(pairs: Sequence[JudgedPair]) -> float | None:
    hits = [
        correctness(pair.p_a, "a" if pair.length_a > pair.length_b else "b")
        for pair in pairs
        if pair.length_a != pair.length_b
    ]
    return sum(hits) / len(hits) if hits else None


def _squashed(difference_N: np.ndarray, weights_N: np.ndarray) -> np.ndarray:
    """tanh(d / sd(d)). The scale is the data's and stays the same in resamples: θ, at d = 0, hardly depends on it."""
    mean = np.average(difference_N, weights=weights_N)
    deviation = np.sqrt(np.average((difference_N - mean) ** 2, weights=weights_N))
    return np.tanh(difference_N / deviation) if deviation > 0 else np.zeros_like(difference_N)


def _weights(prompts: Sequence[str]) -> np.ndarray:
    """One over the number of the prompt's pairs: prompts weigh the same."""
    counts = Counter(prompts)
    return np.array([1.0 / counts[prompt] for prompt in prompts])
