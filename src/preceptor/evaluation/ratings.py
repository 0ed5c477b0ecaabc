"""Ratings of several policies from their comparisons: Bradley-Terry."""

from collections import defaultdict
from collections.abc import Sequence
from itertools import chain

import numpy as np
from scipy.special import expit

from preceptor.core.types import Frozen
from preceptor.evaluation.intervals import Estimate
from preceptor.evaluation.logistic import SEED, fit_logistic, percentile_estimate, prompt_weights
from preceptor.evaluation.pairs import JudgedPair
from preceptor.evaluation.win_rate import outcome

_PRIOR = 0.5  # wins, and losses, that each contest has before any prompt is judged

Contests = dict[tuple[int, int], dict[str, list[float]]]
"""By two policies' places (the lower first) and prompt, the outcomes of the first of the two."""


class Rating(Frozen):
    """A policy's strength."""

    policy: str
    rating: Estimate
    """Log-odds of winning against the first policy, whose rating is 0: σ(rating) is the expected win rate against it.
    The interval is 95%, bootstrapped over prompts."""
    expected_win_rate: float
    """σ(rating)."""


def bradley_terry(pairs: Sequence[JudgedPair], policies: Sequence[str]) -> tuple[Rating, ...]:
    """Ratings in the order of `policies`, the first of which is the zero, with an interval of no width by definition.

    Maximum likelihood of P(i beats j) = σ(rating_i - rating_j) (Bradley & Terry 1952). A win counts 1 and a tie one
    half, not the judge's probability; for any two policies each prompt weighs the same, however many pairs it has.
    A policy that wins everything would have no finite rating, so every two policies that were compared start with half
    a win and half a loss. The interval is that of a Bayesian bootstrap over prompts in which this start is drawn too:
    for two policies and one pair of each prompt it is Jeffreys' interval of a binomial rate.

    Pairs with a policy that is not among `policies` are left out.

    Raises: ValueError when a policy is in no pair, or the comparisons do not connect all policies.
    """
    contests = _contests(pairs, policies)
    _check_connected(contests, policies)
    design_QK, judged_QP, wins_QP = _tables(contests, len(policies))
    rng = np.random.default_rng(SEED)
    prompts = judged_QP.shape[1]
    weights_RP = prompt_weights(prompts, rng)
    prior_RQ2 = rng.gamma(_PRIOR, size=(len(weights_RP), len(contests), 2))
    resampled_RK = _fit(design_QK, weights_RP @ judged_QP.T, weights_RP @ wins_QP.T, prior_RQ2)
    start_Q2 = np.full((len(contests), 2), _PRIOR)
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
    """Ratings of all policies, the first 0, for each row of weights of prompts summed by contest."""
    trials_RQ = judged_RQ + prior_Q2.sum(axis=-1)
    others_RK = fit_logistic(design_QK[:, 1:], (wins_RQ + prior_Q2[..., 0]) / trials_RQ, trials_RQ)
    return np.concatenate([np.zeros((len(others_RK), 1)), others_RK], axis=1)


def _tables(contests: Contests, policies: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Contests × policies, 1 and -1 for the two; contests × prompts, 1 where judged, and the mean outcome there."""
    prompts = {prompt: i for i, prompt in enumerate(dict.fromkeys(chain.from_iterable(contests.values())))}
    design_QK = np.zeros((len(contests), policies))
    judged_QP, wins_QP = np.zeros((2, len(contests), len(prompts)))
    for contest, ((one, other), of_prompt) in enumerate(contests.items()):
        design_QK[contest, [one, other]] = 1.0, -1.0
        for prompt, outcomes in of_prompt.items():
            judged_QP[contest, prompts[prompt]] = 1.0
            wins_QP[contest, prompts[prompt]] = sum(outcomes) / len(outcomes)
    return design_QK, judged_QP, wins_QP


def _contests(pairs: Sequence[JudgedPair], policies: Sequence[str]) -> Contests:
    place = {policy: i for i, policy in enumerate(policies)}
    found: defaultdict[tuple[int, int], defaultdict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
    for pair in pairs:
        if pair.policy_a == pair.policy_b or not {pair.policy_a, pair.policy_b} <= place.keys():
            continue
        turned = pair if place[pair.policy_a] < place[pair.policy_b] else pair.swapped()
        found[place[turned.policy_a], place[turned.policy_b]][turned.prompt_id].append(outcome(turned.p_a))
    return {contest: dict(of_prompt) for contest, of_prompt in found.items()}


def _check_connected(contests: Contests, policies: Sequence[str]) -> None:
    compared = {place for contest in contests for place in contest}
    alone = [policy for i, policy in enumerate(policies) if i not in compared]
    if alone:
        raise ValueError(f"no comparison of {', '.join(alone)} with another of the rated policies")
    reached = {0}
    while beyond := {place for contest in contests if reached & {*contest} for place in contest} - reached:
        reached |= beyond
    if apart := [policy for i, policy in enumerate(policies) if i not in reached]:
        raise ValueError(f"no chain of comparisons leads from {policies[0]} to {', '.join(apart)}")
