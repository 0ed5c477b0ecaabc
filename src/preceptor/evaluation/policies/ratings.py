"""Bradley-Terry ratings of several policies from their comparisons."""

from collections import defaultdict
from collections.abc import Sequence
from itertools import chain

import numpy as np
from scipy.special import expit

from preceptor.core.types import Frozen
from preceptor.evaluation.intervals import Estimate
from preceptor.evaluation.logistic import SEED, fit_logistic, percentile_estimate, prompt_weights
from preceptor.evaluation.pairs import JudgedPair
from preceptor.evaluation.policies.win_rate import outcome

_PRIOR = 0.5  # wins, and losses, that every two policies start with

Outcomes = dict[tuple[int, int], dict[str, list[float]]]
"""By two policies' positions (the lower first) and prompt, the outcomes of the first of the two."""


class Rating(Frozen):
    """A policy's strength."""

    policy: str
    rating: Estimate
    """Log-odds of winning against the first policy, whose rating is 0: σ(rating) is the expected win rate against it.
    The interval is 95%, bootstrapped over prompts."""
    expected_win_rate: float
    """σ(rating)."""


def bradley_terry(pairs: Sequence[JudgedPair], policies: Sequence[str]) -> tuple[Rating, ...]:
    """Ratings in the order of `policies`. The first policy is the zero, so its interval has no width.

    Maximum likelihood of P(i beats j) = σ(rating_i - rating_j) (Bradley & Terry 1952). A win counts 1 and a tie one
    half, whatever the judge's probability; for any two policies each prompt has the same weight, however many pairs it
    has. A policy that wins everything would have no finite rating, so every two policies that were compared start with
    half a win and half a loss. The interval is that of a Bayesian bootstrap over prompts in which this start is drawn
    too: for two policies and one pair per prompt it is Jeffreys' interval of a binomial rate.

    Pairs with a policy that is not among `policies` are left out.

    Raises: ValueError if a policy is in no pair, or the comparisons do not connect all policies.
    """
    outcomes = _outcomes(pairs, policies)
    _check_connected(outcomes, policies)
    design_QK, judged_QP, wins_QP = _tables(outcomes, len(policies))
    rng = np.random.default_rng(SEED)
    prompts = judged_QP.shape[1]
    weights_RP = prompt_weights(prompts, rng)
    prior_RQ2 = rng.gamma(_PRIOR, size=(len(weights_RP), len(outcomes), 2))
    resampled_RK = _fit(design_QK, weights_RP @ judged_QP.T, weights_RP @ wins_QP.T, prior_RQ2)
    start_Q2 = np.full((len(outcomes), 2), _PRIOR)
    (values_K,) = _fit(design_QK, judged_QP.sum(axis=1)[None], wins_QP.sum(axis=1)[None], start_Q2)
    prompts_K = [int(judged_QP[design_QK[:, k] != 0].any(axis=0).sum()) for k in range(len(policies))]
    return tuple(
        Rating(
            policy=policy,
            rating=percentile_estimate(float(values_K[k]), resampled_RK[:, k], prompts_K[k]),
            expected_win_rate=float(expit(values_K[k])),
        )
        for k, policy in enumerate(policies)
    )


def _fit(design_QK: np.ndarray, judged_RQ: np.ndarray, wins_RQ: np.ndarray, prior_Q2: np.ndarray) -> np.ndarray:
    """Ratings of all policies, the first 0, for each row of prompt weights summed by pair of policies."""
    trials_RQ = judged_RQ + prior_Q2.sum(axis=-1)
    others_RK = fit_logistic(design_QK[:, 1:], (wins_RQ + prior_Q2[..., 0]) / trials_RQ, trials_RQ)
    return np.concatenate([np.zeros((len(others_RK), 1)), others_RK], axis=1)


def _tables(by_pair: Outcomes, policies: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Pairs of policies × policies: 1 and -1 for the two. Pairs × prompts: 1 if judged; and the mean outcome."""
    prompts = {prompt: i for i, prompt in enumerate(dict.fromkeys(chain.from_iterable(by_pair.values())))}
    design_QK = np.zeros((len(by_pair), policies))
    judged_QP, wins_QP = np.zeros((2, len(by_pair), len(prompts)))
    for row, ((one, other), of_prompt) in enumerate(by_pair.items()):
        design_QK[row, [one, other]] = 1.0, -1.0
        for prompt, outcomes in of_prompt.items():
            judged_QP[row, prompts[prompt]] = 1.0
            wins_QP[row, prompts[prompt]] = sum(outcomes) / len(outcomes)
    return design_QK, judged_QP, wins_QP


def _outcomes(pairs: Sequence[JudgedPair], policies: Sequence[str]) -> Outcomes:
    place = {policy: i for i, policy in enumerate(policies)}
    outcomes: defaultdict[tuple[int, int], defaultdict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
    for pair in pairs:
        if pair.policy_a == pair.policy_b or not {pair.policy_a, pair.policy_b} <= place.keys():
            continue
        turned = pair if place[pair.policy_a] < place[pair.policy_b] else pair.swapped()
        outcomes[place[turned.policy_a], place[turned.policy_b]][turned.prompt_id].append(outcome(turned.p_a))
    return {pair: dict(of_prompt) for pair, of_prompt in outcomes.items()}


def _check_connected(outcomes: Outcomes, policies: Sequence[str]) -> None:
    compared = {place for pair in outcomes for place in pair}
    alone = [policy for i, policy in enumerate(policies) if i not in compared]
    if alone:
        raise ValueError(f"no comparison of {', '.join(alone)} with another of the rated policies")
    reached = {0}
    while beyond := {place for pair in outcomes if reached & {*pair} for place in pair} - reached:
        reached |= beyond
    if apart := [policy for i, policy in enumerate(policies) if i not in reached]:
        raise ValueError(f"no chain of comparisons leads from {policies[0]} to {', '.join(apart)}")
