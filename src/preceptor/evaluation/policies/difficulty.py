"""A joint fit of several pairs per prompt, which separates the effect of length from the difficulty of prompts.

Lengths correlate with difficulty: a prompt that makes a policy answer briefly may also make it answer badly. Pairs of
one prompt share its difficulty and differ in length, so they separate the two. The model is

    logit p = θ_m + φ·x + γ_i

for policy m and prompt i, x being 0 at equal length. φ is one number for all policies: the judge's. It is
estimated in two steps.

1. φ is estimated from which of a prompt's pairs are won, given how many are won: γ cancels out, whatever its
   distribution and however it depends on length (Rasch 1960; Andersen 1970, "Asymptotic properties of conditional
   maximum-likelihood estimators"). If φ were estimated together with a distribution of γ, it would be biased wherever
   that distribution is wrong.
2. The rates are estimated given φ, with γ_i = Σ_m α_m·c_im + τ·z_i and z_i normal. c_im is policy m's share in the
   prompt's mean x, after subtracting the policy's own mean: difficulty may depend on each policy's lengths
   differently (Chamberlain 1982, "Multivariate regression models for panel data").

After Dubois et al. 2024 (arXiv 2404.04475), whose difficulty is fitted beforehand to all models of a leaderboard; here
it is integrated out, so that no outcome explains itself.
"""

from dataclasses import dataclass

import numpy as np
from scipy import stats
from scipy.linalg import block_diag
from scipy.optimize import minimize
from scipy.special import expit

from preceptor.evaluation.intervals import LEVEL, Estimate

_START = 0.5  # prior: wins, and losses, at equal length that each policy starts with
_USUAL_EFFECT, _EFFECT = 1.0, 1.5
"""Mean and standard deviation of the normal prior of φ. Judges' effects of length are about 1 to 2 in either form."""
_ABILITY, _LINK, _OWN_LINK, _LOG_SPREAD = 5.0, 4.0, 3.0, 1.5
"""Standard deviations of the normal priors of θ in the first step, of the part that all α share, of each α's own part,
and of log τ.
"""
_STEP = 1e-4  # of numerical derivatives
_NODES_Q = np.linspace(-4.5, 4.5, 37)  # of z
_LOG_WEIGHTS_Q = stats.norm.logpdf(_NODES_Q) - np.log(stats.norm.pdf(_NODES_Q).sum())


@dataclass(frozen=True)
class Pairs:
    """One row for each pair; the rows of a prompt are adjacent."""

    policy_N: np.ndarray
    prompt_N: np.ndarray
    """Numbers of prompts from 0, ascending."""
    x_N: np.ndarray
    outcome_N: np.ndarray

    @property
    def centred_N(self) -> np.ndarray:
        """The feature minus the mean of its policy."""
        counts = np.bincount(self.policy_N)
        return self.x_N - (np.bincount(self.policy_N, self.x_N) / np.maximum(counts, 1))[self.policy_N]

    @property
    def mean_IM(self) -> np.ndarray:
        """c: each prompt's mean of centred x, split by policy into parts that add up to it."""
        sum_IM = np.zeros((int(self.prompt_N.max()) + 1, int(self.policy_N.max()) + 1))
        np.add.at(sum_IM, (self.prompt_N, self.policy_N), self.centred_N)
        return sum_IM / np.bincount(self.prompt_N)[:, None]

    @property
    def within_N(self) -> np.ndarray:
        """The feature after the means of policies, and then of prompts, are subtracted."""
        return self.centred_N - self.mean_IM.sum(axis=1)[self.prompt_N]


@dataclass(frozen=True)
class JointFit:
    """Win rates at equal length, and the effect of length."""

    rates: tuple[Estimate, ...]
    """By policy: the mean over its prompts of σ(θ + γ)."""
    effect: float
    """φ."""
    theta_M: np.ndarray
    """By policy, the log-odds of winning a prompt with γ = 0 at equal length."""
    difficulty_I: np.ndarray
    """By prompt, the mean of γ given its outcomes; positive where the prompt is easy for the policies."""


def fit_jointly(pairs: Pairs) -> JointFit:
    """Fits both steps. The 95% intervals are computed in log-odds from each prompt's influence on the rate, including
    its influence through φ (the sandwich estimator with prompts as clusters). They count the priors as data: a prior
    pulls the estimate towards itself, so it adds as bias what it takes from the variance.
    """
    effect = effect_of_length(pairs)
    model = _Model(pairs, effect.value)
    policies = int(pairs.policy_N.max()) + 1
    optimum = minimize(model.loss, np.zeros(2 * policies + 1), jac=True, method="L-BFGS-B", options={"maxiter": 300})
    point_K: np.ndarray = optimum.x
    rates_M, own_IM = model.rates(point_K)
    steps_KK = _STEP * np.eye(len(point_K))
    ends = [(point_K + step_K, point_K - step_K) for step_K in steps_KK]
    curvature_KK = np.array([model.loss(up)[1] - model.loss(down)[1] for up, down in ends]) / (2 * _STEP)
    slopes_KM = np.array([model.rates(up)[0] - model.rates(down)[0] for up, down in ends]) / (2 * _STEP)
    moved_KM = np.linalg.solve((curvature_KK + curvature_KK.T) / 2, slopes_KM)
    up, down = _Model(pairs, effect.value + _STEP), _Model(pairs, effect.value - _STEP)
    by_effect_M = (up.rates(point_K)[0] - down.rates(point_K)[0]) / (2 * _STEP)
    by_effect_M -= (up.loss(point_K)[1] - down.loss(point_K)[1]) / (2 * _STEP) @ moved_KM
    influence_IM = own_IM + model.scores(point_K) @ moved_KM + effect.influence_I[:, None] * by_effect_M
    of_priors_M = (moved_KM * (model.prior_curvature(point_K) @ moved_KM)).sum(axis=0)
    of_priors_M += effect.of_prior * by_effect_M**2
    prompts_M = np.array([len(np.unique(pairs.prompt_N[pairs.policy_N == m])) for m in range(policies)])
    errors_M = np.sqrt((influence_IM**2).sum(axis=0) * prompts_M / np.maximum(prompts_M - 1, 1) + of_priors_M)
    rates = zip(rates_M, errors_M, prompts_M, strict=True)
    return JointFit(
        rates=tuple(_estimate(float(r), float(e), int(n)) for r, e, n in rates),
        effect=effect.value,
        theta_M=point_K[:policies],
        difficulty_I=model.difficulty(point_K),
    )


def _estimate(rate: float, error: float, prompts: int) -> Estimate:
    log_odds = float(np.log(rate / (1 - rate)))
    reach = float(stats.t.ppf(0.5 + LEVEL / 2, max(prompts - 1, 1))) * error / (rate * (1 - rate))
    return Estimate(value=rate, low=float(expit(log_odds - reach)), high=float(expit(log_odds + reach)), n=prompts)


@dataclass(frozen=True)
class Effect:
    """φ, and the sources of its uncertainty."""

    value: float
    influence_I: np.ndarray
    """Each prompt's part of the error of `value`."""
    of_prior: float
    """What the prior adds to the variance of `value`."""


def effect_of_length(pairs: Pairs) -> Effect:
    """The first step: the most likely φ, given its prior."""
    model = Conditional(pairs)
    start_K = model.usual_K
    point_K: np.ndarray = minimize(model.loss, start_K, jac=True, method="L-BFGS-B", options={"maxiter": 300}).x
    ends = [(point_K + step_K, point_K - step_K) for step_K in _STEP * np.eye(len(point_K))]
    curvature_KK = np.array([model.loss(up)[1] - model.loss(down)[1] for up, down in ends]) / (2 * _STEP)
    moved_K = np.linalg.solve((curvature_KK + curvature_KK.T) / 2, np.eye(len(point_K))[-1])
    _, scores_IK = model.scores(point_K)
    return Effect(float(point_K[-1]), scores_IK @ moved_K, float(moved_K @ (model.precision_K * moved_K)))


class Conditional:
    """The likelihood of each prompt's outcomes, given their sum. Its K parameters are θ by policy, then φ.

    An outcome between 0 and 1 counts as a win with that probability: the log-likelihood is the mean over such draws.
    """

    def __init__(self, pairs: Pairs) -> None:
        self.pairs = pairs
        self.policies = int(pairs.policy_N.max()) + 1
        counts_I = np.bincount(pairs.prompt_N)
        starts_I = np.cumsum(counts_I) - counts_I
        self.places = (pairs.prompt_N, np.arange(len(pairs.prompt_N)) - starts_I[pairs.prompt_N])
        self.counts_I, self.most = counts_I, int(counts_I.max())
        self.sums_IS = _sums(self._by_prompt(pairs.outcome_N))[-1]
        self.usual_K = np.append(np.zeros(self.policies), _USUAL_EFFECT)
        self.precision_K = np.append(np.full(self.policies, _ABILITY**-2), _EFFECT**-2)

    def loss(self, point_K: np.ndarray) -> tuple[float, np.ndarray]:
        """The negative log-likelihood with its priors, and its gradient."""
        log_likelihood, scores_IK = self.scores(point_K)
        away_K = self.precision_K * (point_K - self.usual_K)
        return float((point_K - self.usual_K) @ away_K / 2) - log_likelihood, away_K - scores_IK.sum(axis=0)

    def scores(self, point_K: np.ndarray) -> tuple[float, np.ndarray]:
        """The log-likelihood, and by prompt its gradient."""
        pairs = self.pairs
        log_odds_N = point_K[pairs.policy_N] + point_K[-1] * pairs.x_N
        log_odds_N -= (np.bincount(pairs.prompt_N, log_odds_N) / self.counts_I)[pairs.prompt_N]  # γ, which cancels
        p_N = expit(log_odds_N)
        p_IJ = self._by_prompt(p_N)
        sums = _sums(p_IJ)
        sum_IS = np.maximum(sums[-1], 1e-300)
        log_likelihood = pairs.outcome_N @ log_odds_N - np.logaddexp(0, log_odds_N).sum()
        log_likelihood -= (self.sums_IS * np.log(sum_IS)).sum()
        back_IS, of_sum_IJ = self.sums_IS / sum_IS, np.zeros_like(p_IJ)
        for j in range(self.most - 1, -1, -1):  # the derivatives of _sums, from its end to its start
            ahead_IS = np.pad(back_IS[:, 1:], ((0, 0), (0, 1)))
            of_sum_IJ[:, j] = (sums[j] * (ahead_IS - back_IS)).sum(axis=1)
            back_IS = back_IS + p_IJ[:, j, None] * (ahead_IS - back_IS)
        residual_N = pairs.outcome_N - p_N - of_sum_IJ[self.places] * p_N * (1 - p_N)
        scores_IK = np.zeros((len(self.counts_I), len(point_K)))
        np.add.at(scores_IK, (pairs.prompt_N, pairs.policy_N), residual_N)
        scores_IK[:, -1] = np.bincount(pairs.prompt_N, residual_N * pairs.x_N)
        return float(log_likelihood), scores_IK

    def _by_prompt(self, value_N: np.ndarray) -> np.ndarray:
        """Values by prompt and index within the prompt, padded with 0 for prompts with fewer pairs."""
        value_IJ = np.zeros((len(self.counts_I), self.most))
        value_IJ[self.places] = value_N
        return value_IJ


def _sums(p_IJ: np.ndarray) -> list[np.ndarray]:
    """By prompt, how likely each number of wins is among its first 0, 1, 2, ... pairs."""
    sums = [np.eye(1, p_IJ.shape[1] + 1) * np.ones((len(p_IJ), 1))]
    for p_I in p_IJ.T:
        sums.append(sums[-1] + p_I[:, None] * (np.pad(sums[-1][:, :-1], ((0, 0), (1, 0))) - sums[-1]))
    return sums


class _Model:
    """The second step's likelihood. Its K parameters are θ by policy, α by policy, then log τ."""

    def __init__(self, pairs: Pairs, effect: float) -> None:
        self.pairs = pairs
        self.of_length_N = effect * pairs.x_N
        self.starts = np.flatnonzero(np.diff(pairs.prompt_N, prepend=-1))
        self.c_IM = pairs.mean_IM
        self.policies = int(pairs.policy_N.max()) + 1
        links_MM = _LINK**2 + _OWN_LINK**2 * np.eye(self.policies)
        no_MM = np.zeros_like(links_MM)  # θ has extra wins and losses as its prior instead
        self.precision_KK = np.asarray(block_diag(no_MM, np.linalg.inv(links_MM), _LOG_SPREAD**-2))

    def loss(self, point_K: np.ndarray) -> tuple[float, np.ndarray]:
        """The negative log-likelihood with its priors, and its gradient."""
        theta_M, drawn_K = point_K[: self.policies], self.precision_KK @ point_K
        log_likelihood_I, _, _ = self._posterior(point_K)
        prior = _START * (np.logaddexp(0, theta_M) + np.logaddexp(0, -theta_M)).sum() + point_K @ drawn_K / 2
        drawn_K[: self.policies] = _START * (2 * expit(theta_M) - 1)
        return float(prior - log_likelihood_I.sum()), drawn_K - self.scores(point_K).sum(axis=0)

    def prior_curvature(self, point_K: np.ndarray) -> np.ndarray:
        """The second derivatives of the priors' part of the loss."""
        won_M = expit(point_K[: self.policies])
        of_start_K = np.append(2 * _START * won_M * (1 - won_M), np.zeros(self.policies + 1))
        return self.precision_KK + np.diag(of_start_K)

    def scores(self, point_K: np.ndarray) -> np.ndarray:
        """By prompt, the gradient of its log-likelihood."""
        _, weight_IQ, log_odds_NQ = self._posterior(point_K)
        pairs, tau = self.pairs, np.exp(point_K[-1])
        residual_NQ = weight_IQ[pairs.prompt_N] * (pairs.outcome_N[:, None] - expit(log_odds_NQ))
        residual_N = residual_NQ.sum(axis=1)
        of_theta_IM = np.zeros_like(self.c_IM)
        np.add.at(of_theta_IM, (pairs.prompt_N, pairs.policy_N), residual_N)
        of_gamma_N2 = np.stack([residual_N, residual_NQ @ _NODES_Q * tau], axis=1)
        of_mean_I, of_tau_I = np.add.reduceat(of_gamma_N2, self.starts, axis=0).T
        return np.column_stack([of_theta_IM, of_mean_I[:, None] * self.c_IM, of_tau_I])

    def rates(self, point_K: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Each policy's rate at equal length, and each prompt's part of the error of that mean."""
        _, weight_IQ, _ = self._posterior(point_K)
        theta_M = point_K[: self.policies]
        difficulty_IQ = self._expected(point_K)[:, None] + np.exp(point_K[-1]) * _NODES_Q
        of_prompt_IM = np.stack([(weight_IQ * expit(theta + difficulty_IQ)).sum(axis=1) for theta in theta_M], axis=1)
        judged_IM = np.zeros_like(of_prompt_IM)
        judged_IM[self.pairs.prompt_N, self.pairs.policy_N] = 1.0
        prompts_M = judged_IM.sum(axis=0)
        rates_M = (judged_IM * of_prompt_IM).sum(axis=0) / prompts_M
        return rates_M, judged_IM * (of_prompt_IM - rates_M) / prompts_M

    def difficulty(self, point_K: np.ndarray) -> np.ndarray:
        """By prompt, the mean of γ given its outcomes."""
        _, weight_IQ, _ = self._posterior(point_K)
        return self._expected(point_K) + np.exp(point_K[-1]) * (weight_IQ @ _NODES_Q)

    def _expected(self, point_K: np.ndarray) -> np.ndarray:
        """By prompt, the mean of γ that its lengths predict."""
        return self.c_IM @ point_K[self.policies : -1]

    def _posterior(self, point_K: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """By prompt the log-likelihood, and the distribution of z given its outcomes; by pair and node the log-odds."""
        pairs = self.pairs
        fixed_N = point_K[pairs.policy_N] + self.of_length_N + self._expected(point_K)[pairs.prompt_N]
        log_odds_NQ = fixed_N[:, None] + np.exp(point_K[-1]) * _NODES_Q
        of_pair_NQ = pairs.outcome_N[:, None] * log_odds_NQ - np.logaddexp(0.0, log_odds_NQ)
        joint_IQ = np.add.reduceat(of_pair_NQ, self.starts, axis=0) + _LOG_WEIGHTS_Q
        largest_I = joint_IQ.max(axis=1)
        weight_IQ = np.exp(joint_IQ - largest_I[:, None])
        total_I = weight_IQ.sum(axis=1)
        return largest_I + np.log(total_I), weight_IQ / total_I[:, None], log_odds_NQ
