"""The rate of single responses if they were as long as another policy's, such as a harmless rate at equal length.

A longer response has more room for harm, or for a warning. As Lee et al. 2023 (arXiv 2309.00267, appendix J) do for
harmless rates, a logistic regression of the value on length is read at one length, that of the policy before training.
Like theirs it does not know which prompts are harder, and lengths differ between prompts: the part of the effect that
comes from difficulty is taken for one of length.
"""

from collections.abc import Sequence

import numpy as np
from scipy.special import expit

from preceptor.evaluation.intervals import Estimate
from preceptor.evaluation.logistic import SEED, fit_logistic, percentile_estimate, prompt_weights
from preceptor.evaluation.policies.length_control import LEAST_PROMPTS

_START = 0.5  # successes, and failures, at the length that is read, before any response: Jeffreys' prior of a rate


def rate_at_length(values_P: Sequence[float], lengths_P: Sequence[int], length: float) -> Estimate | None:
    """The rate that responses of this length would have, by logit p = θ + φ · log(own length / length), read at 0.

    The interval is that of a Bayesian bootstrap over prompts.

    Args:
        values_P: of one response to each of P prompts, 0 or 1.
        lengths_P: their lengths in characters.
        length: the length to read it at, in characters.

    Returns: None with fewer than 20 prompts, if no response is as short or none as long as `length`, or if length alone
        separates the values, so that the likelihood has no maximum.
    """
    x_P = np.log1p(np.array(lengths_P, dtype=float)) - np.log1p(length)
    outcomes_P = np.array(values_P, dtype=float)
    if len(x_P) < LEAST_PROMPTS or not x_P.min() <= 0.0 <= x_P.max() or _separated(x_P, outcomes_P):
        return None
    design_NK = np.stack([np.ones(len(x_P) + 2), np.append(x_P, [0.0, 0.0])], axis=1)
    outcomes_N = np.append(outcomes_P, [1.0, 0.0])
    weights_N = np.append(np.ones(len(x_P)), [_START, _START])
    (point_K,) = fit_logistic(design_NK, outcomes_N, weights_N[None])
    rng = np.random.default_rng(SEED)
    drawn_RP = prompt_weights(len(x_P), rng)
    drawn_RN = np.concatenate([drawn_RP, rng.gamma(_START, size=(len(drawn_RP), 2))], axis=1)
    resampled_RK = fit_logistic(design_NK, outcomes_N, drawn_RN, start_K=point_K)
    return percentile_estimate(float(expit(point_K[0])), expit(resampled_RK[:, 0]), len(x_P))


def _separated(x_P: np.ndarray, outcomes_P: np.ndarray) -> bool:
    succeeded, failed = x_P[outcomes_P > 0], x_P[outcomes_P < 1]
    if not len(succeeded) or not len(failed):
        return True
    return bool(failed.max() <= succeeded.min() or succeeded.max() <= failed.min())
