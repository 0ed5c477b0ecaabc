"""Win rates at equal length: the win rate if neither response were longer.

A policy that answers briefly may lose because it answers briefly, or because of the prompts that it answers briefly.
Lengths correlate with the difficulty of prompts, and one pair per prompt cannot separate the two. So there are two
methods, and a rule for choosing between them.

- If prompts have several pairs with different lengths (several policies against one, or several samples), difficulty is
  estimated together with the effect of length: see `preceptor.evaluation.policies.difficulty`.
- With one pair per prompt, a logistic regression of winning on length is read at equal length, but only if the data
  bracket it: then the effect of length hardly matters. The interval also contains the raw rate's interval, so it is
  right whether the regression's slope comes from length, from difficulty or from both.
- Otherwise there is no rate, and `unknown` says why.

Length enters in two forms, x being 0 at equal length: as tanh of the difference over its standard deviation, after
Dubois et al. 2024 (arXiv 2404.04475, AlpacaEval 2), and as the logarithm of the ratio, after Lee et al. 2023
(arXiv 2309.00267, appendix on controlling for response length). Neither is exactly what its authors compute.
AlpacaEval fits the judge's probabilities with an effect of length for each model, a penalty, and difficulties known
beforehand; Lee et al. do not model difficulty. Outcomes here are wins, ties and losses, as in the raw rate: otherwise a
judge whose probabilities all lie near one half would seem to find no difference.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from pydantic import model_validator
from scipy.special import expit

from preceptor.core.numbers import number, percent
from preceptor.core.types import Frozen
from preceptor.evaluation.intervals import Estimate, rate_by_prompt
from preceptor.evaluation.judges.agreement import correctness
from preceptor.evaluation.logistic import SEED, fit_logistic, percentile_estimate, prompt_weights
from preceptor.evaluation.pairs import JudgedPair, between, by_prompt
from preceptor.evaluation.policies.difficulty import JointFit, Pairs, fit_jointly
from preceptor.evaluation.policies.win_rate import outcome

_START = 0.5  # wins, and losses, at equal length before any prompt is judged
LEAST_PROMPTS = 20
"""Fewest prompts for a rate at equal length."""
BRACKET = 1.25
"""With one pair per prompt, the median ratio of lengths must lie between the inverse of this and this."""
EACH_SIDE = 0.2
"""With one pair per prompt, the least share of pairs in which each of the two policies gives the longer response."""
FARTHEST = 8.0
"""With several pairs per prompt, the median ratio of lengths must lie between the inverse of this and this."""
_WIDEST = 0.5
"""Widest interval with which a rate is given."""
_LEAST_WITHIN = 0.02
"""Least share of the variance of x within prompts for which their difficulty can be estimated."""
Form = Literal["difference", "ratio"]


class LengthControl(Frozen):
    """A win rate, raw and at equal length. Intervals are 95%, over prompts."""

    policy: str
    against: str
    raw: Estimate
    """The win rate as in `preceptor.evaluation.policies.win_rate`."""
    by_difference: Estimate | None
    """The rate at equal length, with length entering as the difference: the main one. None if it is unknown."""
    by_ratio: Estimate | None
    """The same, with length entering as the logarithm of the ratio."""
    method: Literal["difficulty", "bracket"] | None
    """How they were estimated: with the prompts' difficulty, or without it because the data bracket equal length."""
    unknown: str | None
    """Why there is no rate at equal length; None if there is one."""
    length_effect: float | None
    """Log-odds per unit of tanh of the standardised difference; positive if the judge favours length. With the method
    "bracket" it includes the effect of difficulty."""
    length_ratio: float | None
    """Mean length of the responses of `policy`, relative to `against`."""
    longer_preferred: float | None
    """Share of pairs with different lengths in which the longer response wins; an undecided pair counts half."""

    @property
    def changes_sign(self) -> bool:
        """Whether the raw rate and a controlled one lie on different sides of one half."""
        controlled = [rate.value for rate in (self.by_difference, self.by_ratio) if rate is not None]
        return any((value - 0.5) * (self.raw.value - 0.5) < 0 for value in controlled)

    @model_validator(mode="before")
    @classmethod
    def _of_earlier_versions(cls, data: Any) -> Any:
        """Drops the rates of early versions, which mistook difficulty for length."""
        if not isinstance(data, dict) or "length_controlled" not in data:
            return data
        kept = {key: value for key, value in data.items() if key not in ("length_controlled", "at_equal_ratio")}
        why = "the version of preceptor that wrote this file mistook difficulty for length; evaluate again"
        return kept | {"by_difference": None, "by_ratio": None, "method": None, "length_effect": None, "unknown": why}


@dataclass(frozen=True)
class _Group:
    """All pairs of one policy with its opponents, turned so that it is b, and grouped by prompt."""

    opponents: tuple[str, ...]
    pairs: tuple[JudgedPair, ...]


def length_control(pairs: Sequence[JudgedPair], policy: str, against: str, soft: bool = False) -> LengthControl | None:
    """The win rate of a policy with the effect of length removed; None if the two were never compared.

    Args:
        pairs: of these two and, if there are any, of other policies with `against`, which help to estimate how hard the
            prompts are.
        soft: fit the judge's probabilities instead of its choices, as AlpacaEval does.
    """
    return next(iter(length_controls(pairs, [(policy, against)], soft)), None)


def length_controls(
    pairs: Sequence[JudgedPair], wanted: Sequence[tuple[str, str]], soft: bool = False
) -> tuple[LengthControl, ...]:
    """`length_control` for several (policy, against); policies that were never compared are left out."""
    controls: dict[tuple[str, str], LengthControl] = {}
    for against in dict.fromkeys(against for _, against in wanted):
        group = _group(pairs, against)
        joint: dict[Form, JointFit | None] = {
            "difference": _joint(group, "difference", soft),
            "ratio": _joint(group, "ratio", soft),
        }
        for policy in group.opponents:
            if (policy, against) in wanted:
                place = group.opponents.index(policy)
                controls[policy, against] = _control(pairs, policy, against, joint, place, soft)
    return tuple(controls[names] for names in wanted if names in controls)


def _control(
    pairs: Sequence[JudgedPair],
    policy: str,
    against: str,
    joint: dict[Form, JointFit | None],
    place: int,
    soft: bool,
) -> LengthControl:
    own = between(pairs, policy, against)
    raw = rate_by_prompt([[_value(pair, soft) for pair in group] for group in by_prompt(own).values()])
    assert raw is not None  # there are pairs
    lengths_a, lengths_b = np.array([(pair.length_a, pair.length_b) for pair in own], dtype=float).T
    weights_N = _weights([pair.prompt_id for pair in own])
    mean_b = float(weights_N @ lengths_b)
    by_difference, by_ratio, effect, method, unknown = _at_equal_length(own, raw, joint, place, soft)
    return LengthControl(
        policy=policy,
        against=against,
        raw=raw,
        by_difference=by_difference,
        by_ratio=by_ratio,
        method=method,
        unknown=unknown,
        length_effect=effect,
        length_ratio=float(weights_N @ lengths_a) / mean_b if mean_b else None,
        longer_preferred=_longer_preferred(own),
    )


_Rates = tuple[Estimate | None, Estimate | None, float | None, Literal["difficulty", "bracket"] | None, str | None]


def _at_equal_length(
    own: Sequence[JudgedPair], raw: Estimate, joint: dict[Form, JointFit | None], place: int, soft: bool
) -> _Rates:
    """The two rates, the effect of length and the method, or why there are no rates."""
    ratio = _median_ratio(own)
    by_difference, by_ratio = joint["difference"], joint["ratio"]
    if raw.n < LEAST_PROMPTS:
        return (
            None,
            None,
            None,
            None,
            f"it takes {LEAST_PROMPTS} prompts, and there {'is' if raw.n == 1 else 'are'} only {raw.n}",
        )
    if by_difference is not None:
        rate = by_difference.rates[place]
        if not 1 / FARTHEST <= ratio <= FARTHEST:
            return None, None, None, None, f"its responses are {_times(ratio)} as long, too far from equal length"
        if _narrow(rate):
            other = by_ratio.rates[place] if by_ratio is not None else None
            return rate, other if _narrow(other) else None, by_difference.effect, "difficulty", None
    if (apart := _not_bracketed(own, ratio)) is not None:
        return None, None, None, None, apart
    regressed = _regressed(own, raw, "difference", soft)
    if regressed is None or not _narrow(regressed[0]):
        return None, None, None, None, "length alone almost separates wins from losses"
    other = _regressed(own, raw, "ratio", soft)
    return regressed[0], other[0] if other and _narrow(other[0]) else None, regressed[1], "bracket", None


def _not_bracketed(own: Sequence[JudgedPair], ratio: float) -> str | None:
    """Why one pair per prompt cannot show the rate at equal length; None if it can."""
    shorter, longer = (sum(sign * (pair.length_a - pair.length_b) > 0 for pair in own) / len(own) for sign in (-1, 1))
    if 1 / BRACKET <= ratio <= BRACKET and min(shorter, longer) >= EACH_SIDE:
        return None
    return (
        f"its responses are {_times(ratio)} as long, and longer in {percent(longer)} of pairs; with so few pairs per "
        "prompt, length cannot be separated from difficulty"
    )


def _times(ratio: float) -> str:
    return f"{number(ratio, 2 if ratio < 10 else 0)} times"


def _median_ratio(pairs: Sequence[JudgedPair]) -> float:
    """The median ratio of lengths, each plus one character because responses may be empty."""
    return float(np.exp(np.median([np.log1p(pair.length_a) - np.log1p(pair.length_b) for pair in pairs])))


def _narrow(rate: Estimate | None) -> bool:
    return rate is not None and rate.low is not None and rate.high is not None and rate.high - rate.low <= _WIDEST


def _group(pairs: Sequence[JudgedPair], against: str) -> _Group:
    turned = [pair if pair.policy_b == against else pair.swapped() for pair in pairs if _between(pair, against)]
    opponents = tuple(dict.fromkeys(pair.policy_a for pair in turned))
    return _Group(opponents, tuple(pair for group in by_prompt(turned).values() for pair in group))


def _between(pair: JudgedPair, policy: str) -> bool:
    return (pair.policy_a == policy) != (pair.policy_b == policy)


def _joint(group: _Group, form: Form, soft: bool) -> JointFit | None:
    """The fit with difficulty; None if the pairs of a prompt differ too little in length to estimate it."""
    if not group.pairs:
        return None
    names = {name: i for i, name in enumerate(group.opponents)}
    prompts = {prompt: i for i, prompt in enumerate(dict.fromkeys(pair.prompt_id for pair in group.pairs))}
    policy_N = np.array([names[pair.policy_a] for pair in group.pairs])
    x_N = np.zeros(len(group.pairs))
    for i in range(len(names)):
        x_N[policy_N == i] = _length([pair for pair in group.pairs if names[pair.policy_a] == i], form)
    together = Pairs(
        policy_N=policy_N,
        prompt_N=np.array([prompts[pair.prompt_id] for pair in group.pairs]),
        x_N=x_N,
        outcome_N=np.array([_value(pair, soft) for pair in group.pairs]),
    )
    differing = np.unique(together.prompt_N[np.abs(together.within_N) > 1e-9])
    if len(differing) < LEAST_PROMPTS or np.var(together.within_N) < _LEAST_WITHIN * np.var(together.centred_N):
        return None
    return fit_jointly(together)


def _value(pair: JudgedPair, soft: bool) -> float:
    return pair.p_a if soft else outcome(pair.p_a)


def _length(pairs: Sequence[JudgedPair], form: Form) -> np.ndarray:
    """The x of each pair. Differences are scaled by the data; rates, read at 0, hardly depend on the scale."""
    a_N, b_N = np.array([(pair.length_a, pair.length_b) for pair in pairs], dtype=float).T
    if form == "ratio":
        return np.log1p(a_N) - np.log1p(b_N)
    weights_N = _weights([pair.prompt_id for pair in pairs])
    mean = np.average(a_N - b_N, weights=weights_N)
    deviation = np.sqrt(np.average((a_N - b_N - mean) ** 2, weights=weights_N))
    return np.tanh((a_N - b_N) / deviation) if deviation > 0 else np.zeros(len(pairs))


def _regressed(pairs: Sequence[JudgedPair], raw: Estimate, form: Form, soft: bool) -> tuple[Estimate, float] | None:
    """σ(θ) and φ of logit p = θ + φ·x, with an interval that contains the raw rate's; None if length alone separates
    wins from losses, so that the likelihood has no maximum (Albert & Anderson 1984).

    All prompts have the same weight. The fit starts with half a win and half a loss at equal length, drawn anew in each
    resample of a Bayesian bootstrap over prompts: if length has no effect, that is Jeffreys' interval of a rate.
    """
    x_N, outcomes_N = _length(pairs, form), np.array([_value(pair, soft) for pair in pairs])
    not_lost, not_won = x_N[outcomes_N > 0], x_N[outcomes_N < 1]
    if not len(not_lost) or not len(not_won):
        return None
    if not_won.max() <= not_lost.min() or not_lost.max() <= not_won.min():
        return None
    prompts = [pair.prompt_id for pair in pairs]
    ids, prompt_N = np.unique(prompts, return_inverse=True)
    x_N, outcomes_N = np.append(x_N, [0.0, 0.0]), np.append(outcomes_N, [1.0, 0.0])
    design_NK = np.stack([np.ones_like(x_N), x_N], axis=1)
    weights_N = np.append(_weights(prompts), [_START, _START])
    (point_K,) = fit_logistic(design_NK, outcomes_N, weights_N[None])
    rng = np.random.default_rng(SEED)
    drawn_RN = prompt_weights(len(ids), rng)[:, prompt_N] * _weights(prompts)
    resampled_RN = np.concatenate([drawn_RN, rng.gamma(_START, size=(len(drawn_RN), 2))], axis=1)
    resampled_RK = fit_logistic(design_NK, outcomes_N, resampled_RN, start_K=point_K)
    rate = percentile_estimate(float(expit(point_K[0])), expit(resampled_RK[:, 0]), len(ids))
    if rate.low is None or rate.high is None or raw.low is None or raw.high is None:
        return rate, float(point_K[1])
    wider = {"low": min(rate.low, raw.low), "high": max(rate.high, raw.high)}
    return rate.model_copy(update=wider), float(point_K[1])


def _longer_preferred(pairs: Sequence[JudgedPair]) -> float | None:
    hits = [
        correctness(pair.p_a, "a" if pair.length_a > pair.length_b else "b")
        for pair in pairs
        if pair.length_a != pair.length_b
    ]
    return sum(hits) / len(hits) if hits else None


def _weights(prompts: Sequence[str]) -> np.ndarray:
    """One over the number of the prompt's pairs, so that all prompts have the same weight."""
    counts = Counter(prompts)
    return np.array([1.0 / counts[prompt] for prompt in prompts])
