"""Several pairs of each prompt, fitted together: the effect of length apart from how hard prompts are.

Where a policy answers briefly it may also do badly, because of the prompt: lengths go with difficulty. Pairs of one
prompt share its difficulty and differ in length, so they tell the two apart. The model is

    logit p = θ_m + φ·x + γ_i,    γ_i = α·c_i + τ·z_i,    z_i normal,

for contestant m and prompt i, x being 0 at equal length and c_i the mean of the prompt's x, each contestant's own mean
taken off: difficulty may go with length as it likes (Mundlak 1978, "On the pooling of time series and cross section
data"), and φ comes from differences within prompts alone. It is one number for all contestants: the judge's. After
Dubois et al. 2024 (arXiv 2404.04475), whose difficulty is fitted beforehand to all models of a leaderboard; here it is
integrated out, so that no outcome explains itself.
"""

from dataclasses import dataclass

import numpy as np
from scipy import stats
from scipy.optimize import minimize
from scipy.special import expit

from preceptor.evaluation.intervals import LEVEL, Estimate

_START = 0.5  # wins, and losses, at equal length that each contestant has before any prompt is judged
_WIDTHS = np.array([1.5, 5.0, 1.5])
"""Standard deviations of the normal priors of φ, α and log τ. Judges' effects of length are about 1 to 2 in either
form; with few wins the likelihood alone is largest where φ is too large, and intervals there miss the truth too often.
"""
_STEP = 1e-4  # of numerical derivatives
_NODES_Q = np.linspace(-4.5, 4.5, 37)  # of z
_LOG_WEIGHTS_Q = stats.norm.logpdf(_NODES_Q) - np.log(stats.norm.pdf(_NODES_Q).sum())


@dataclass(frozen=True)
class Pairs:
    """One row for each pair, those of a prompt together."""

    contestant_N: np.ndarray
    prompt_N: np.ndarray
    """Numbers of prompts from 0, ascending."""
    x_N: np.ndarray
    outcome_N: np.ndarray

    @property
    def centred_N(self) -> np.ndarray:
        """The feature less the mean of its contestant."""
        counts = np.bincount(self.contestant_N)
        return self.x_N - (np.bincount(self.contestant_N, self.x_N) / np.maximum(counts, 1))[self.contestant_N]

    @property
    def mean_I(self) -> np.ndarray:
        """c: by prompt, the mean of its centred x."""
        return np.bincount(self.prompt_N, self.centred_N) / np.bincount(self.prompt_N)

    @property
    def within_N(self) -> np.ndarray:
        """What is left of x when contestants and prompts are taken out."""
        return self.centred_N - self.mean_I[self.prompt_N]


@dataclass(frozen=True)
class JointFit:
    """Win rates at equal length, and the effect of length."""

    rates: tuple[Estimate, ...]
    """By contestant: the mean over its prompts of σ(θ + γ)."""
    effect: float
    """φ."""
    theta_M: np.ndarray
    """By contestant, the log-odds of winning a prompt of no difficulty at equal length."""
    difficulty_I: np.ndarray
    """By prompt, the mean of γ given its outcomes; positive where the prompt is easy for the contestants."""


def fit_jointly(pairs: Pairs) -> JointFit:
    """Maximum marginal likelihood. Intervals are 95 %, from each prompt's influence on the rate (the sandwich estimator
    with prompts as clusters), on the scale of log-odds.
    """
    model = _Model(pairs)
    contestants = int(pairs.contestant_N.max()) + 1
    found = minimize(model.loss, np.zeros(contestants + 3), jac=True, method="L-BFGS-B", options={"maxiter": 300})
    point_K: np.ndarray = found.x
    rates_M, own_IM = model.rates(point_K)
    steps_KK = _STEP * np.eye(len(point_K))
    ends = [(point_K + step_K, point_K - step_K) for step_K in steps_KK]
    curvature_KK = np.array([model.loss(up)[1] - model.loss(down)[1] for up, down in ends]) / (2 * _STEP)
    slopes_KM = np.array([model.rates(up)[0] - model.rates(down)[0] for up, down in ends]) / (2 * _STEP)
    moved_IK = np.linalg.solve((curvature_KK + curvature_KK.T) / 2, model.scores(point_K).T).T
    influence_IM = own_IM + moved_IK @ slopes_KM
    prompts_M = np.array([len(np.unique(pairs.prompt_N[pairs.contestant_N == m])) for m in range(contestants)])
    errors_M = np.sqrt((influence_IM**2).sum(axis=0) * prompts_M / np.maximum(prompts_M - 1, 1))
    rates = zip(rates_M, errors_M, prompts_M, strict=True)
    return JointFit(
        rates=tuple(_estimate(float(r), float(e), int(n)) for r, e, n in rates),
        effect=float(point_K[contestants]),
        theta_M=point_K[:contestants],
        difficulty_I=model.difficulty(point_K),
    )


def _estimate(rate: float, error: float, prompts: int) -> Estimate:
    log_odds = float(np.log(rate / (1 - rate)))
    reach = float(stats.t.ppf(0.5 + LEVEL / 2, max(prompts - 1, 1))) * error / (rate * (1 - rate))
    return Estimate(value=rate, low=float(expit(log_odds - reach)), high=float(expit(log_odds + reach)), n=prompts)


class _Model:
    """The likelihood of θ by contestant, φ, α and log τ, in this order (K of them)."""

    def __init__(self, pairs: Pairs) -> None:
        self.pairs = pairs
        self.starts = np.flatnonzero(np.diff(pairs.prompt_N, prepend=-1))
        self.c_I = pairs.mean_I
        self.contestants = int(pairs.contestant_N.max()) + 1

    def loss(self, point_K: np.ndarray) -> tuple[float, np.ndarray]:
        """The negative log-likelihood with its priors, and its gradient."""
        theta_M, (phi, alpha, log_tau) = np.split(point_K, [self.contestants])
        log_likelihood_I, _, _ = self._posterior(point_K)
        shared_K = np.array([phi, alpha, log_tau]) / _WIDTHS
        prior = _START * (np.logaddexp(0, theta_M) + np.logaddexp(0, -theta_M)).sum() + (shared_K**2).sum() / 2
        of_prior_K = np.concatenate([_START * (2 * expit(theta_M) - 1), shared_K / _WIDTHS])
        return float(prior - log_likelihood_I.sum()), of_prior_K - self.scores(point_K).sum(axis=0)

    def scores(self, point_K: np.ndarray) -> np.ndarray:
        """By prompt, the gradient of its log-likelihood."""
        _, weight_IQ, log_odds_NQ = self._posterior(point_K)
        pairs, tau = self.pairs, np.exp(point_K[-1])
        residual_NQ = weight_IQ[pairs.prompt_N] * (pairs.outcome_N[:, None] - expit(log_odds_NQ))
        residual_N = residual_NQ.sum(axis=1)
        found_IK = np.zeros((len(self.starts), len(point_K)))
        np.add.at(found_IK, (pairs.prompt_N, pairs.contestant_N), residual_N)
        shared_N3 = np.stack(
            [residual_N * pairs.x_N, residual_N * self.c_I[pairs.prompt_N], residual_NQ @ _NODES_Q * tau], axis=1
        )
        found_IK[:, self.contestants :] = np.add.reduceat(shared_N3, self.starts, axis=0)
        return found_IK

    def rates(self, point_K: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """By contestant the rate at equal length; by prompt and contestant its share in that mean's deviation."""
        _, weight_IQ, _ = self._posterior(point_K)
        theta_M, (_, alpha, log_tau) = np.split(point_K, [self.contestants])
        difficulty_IQ = alpha * self.c_I[:, None] + np.exp(log_tau) * _NODES_Q
        of_prompt_IM = np.stack([(weight_IQ * expit(theta + difficulty_IQ)).sum(axis=1) for theta in theta_M], axis=1)
        judged_IM = np.zeros_like(of_prompt_IM)
        judged_IM[self.pairs.prompt_N, self.pairs.contestant_N] = 1.0
        prompts_M = judged_IM.sum(axis=0)
        rates_M = (judged_IM * of_prompt_IM).sum(axis=0) / prompts_M
        return rates_M, judged_IM * (of_prompt_IM - rates_M) / prompts_M

    def difficulty(self, point_K: np.ndarray) -> np.ndarray:
        """By prompt, the mean of γ given its outcomes."""
        _, weight_IQ, _ = self._posterior(point_K)
        return point_K[-2] * self.c_I + np.exp(point_K[-1]) * (weight_IQ @ _NODES_Q)

    def _posterior(self, point_K: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """By prompt the log-likelihood, and the distribution of z given its outcomes; by pair and node the log-odds."""
        theta_M, (phi, alpha, log_tau) = np.split(point_K, [self.contestants])
        pairs = self.pairs
        fixed_N = theta_M[pairs.contestant_N] + phi * pairs.x_N + alpha * self.c_I[pairs.prompt_N]
        log_odds_NQ = fixed_N[:, None] + np.exp(log_tau) * _NODES_Q
        of_pair_NQ = pairs.outcome_N[:, None] * log_odds_NQ - np.logaddexp(0.0, log_odds_NQ)
        joint_IQ = np.add.reduceat(of_pair_NQ, self.starts, axis=0) + _LOG_WEIGHTS_Q
        largest_I = joint_IQ.max(axis=1)
        weight_IQ = np.exp(joint_IQ - largest_I[:, None])
        total_I = weight_IQ.sum(axis=1)
        return largest_I + np.log(total_I), weight_IQ / total_I[:, None], log_odds_NQ
