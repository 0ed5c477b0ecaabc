"""What a judge prefers in excess of people: effects of position, form, tone and authorship on its preferences.

One logistic regression without an intercept, because which response is called a is arbitrary:

    logit P(a is preferred) = Σ_k effect_k · (feature_k of a - feature_k of b)

is fitted twice on the same pairs, to the judge's probabilities (the fractional logit of Papke & Wooldridge 1996) and to
people's labels; the judge's effects minus people's are its *excess*. That is one regression in which every effect may
differ between judge and people. A judge that reports people's probabilities exactly has no excess. Effects are in the
judge's own log-odds: those of a judge that is always sure are larger than those of one that hardly tells responses
apart, so calibrate it first where the sizes matter.

The effect of position is the intercept of the same regression over presentations, each turned so that the response
shown first is a. In which order people saw a pair is not known, so all of it is counted as excess.

Resamples of a Bayesian bootstrap over prompts are shared by judge and people. Each effect begins with half a win and
half a loss at one standard deviation of its feature (a log-F(1, 1) prior, Greenland & Mansournia 2015), drawn anew in
each resample, so that a feature which separates wins from losses has a finite effect.
"""

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

import numpy as np
from scipy.special import expit, logit

from preceptor.backends.names import same_model, without_server
from preceptor.core.odds import CLIP
from preceptor.core.types import Comparison, Frozen, HumanLabel, Preference, Response
from preceptor.evaluation.intervals import Estimate
from preceptor.evaluation.logistic import SEED, fit_logistic, percentile_estimate, prompt_weights
from preceptor.judging.families import families_of
from preceptor.judging.text_features import FEATURES, TextFeature, features_of
from preceptor.judging.trajectory import response_text

BiasName: TypeAlias = Literal["position", TextFeature, "self", "family"]
LEAST_PROMPTS = 20
"""Fewest prompts with which effects are measured."""
LEAST_DIFFERING = 10
"""Fewest prompts in which the two responses differ in a feature."""
_RESAMPLES = 1000
_ROUNDS = 50
_START = 0.5  # wins, and losses, of each effect before any prompt is judged
_SAME = 1e-9
_UNKNOWN = Response.model_fields["policy"].default

Pairs: TypeAlias = Sequence[tuple[Preference, HumanLabel]]


class BiasEffect(Frozen):
    """How one feature moves a judge's preference, and people's. In log-odds for each unit; intervals are 95%, over
    prompts.
    """

    feature: BiasName
    unit: str
    """What a response has that exceeds the other one by one unit."""
    judge: Estimate | None = None
    people: Estimate | None = None
    """None for the position."""
    excess: Estimate | None = None
    """The judge's effect minus people's."""
    prompts: int
    """Number of prompts in which the two responses differ in it."""
    unknown: str | None = None
    """Why it was not measured; None if it was."""

    @property
    def beyond_chance(self) -> bool:
        """Whether the interval of the excess excludes 0."""
        interval = self.excess and self.excess.interval
        return bool(interval) and not interval[0] <= 0.0 <= interval[1]


def excess_bias(pairs: Pairs, judge: str) -> tuple[BiasEffect, ...]:
    """The effects of all features, those that could not be measured included.

    Args:
        pairs: a judge's preferences, with people's labels of the same comparisons.
        judge: its identity.
    """
    read = _Read.of(pairs, judge)
    found = _measured(pairs, read) if read.enough else {}
    return (
        _position(pairs, read),
        *(
            found.get(name)
            or BiasEffect(
                feature=name, unit=_UNITS[name], prompts=_differing(x_N, read.prompts), unknown=read.whys[name]
            )
            for name, x_N in read.columns.items()
        ),
    )


def excess_to_take_off(pairs: Pairs, judge: str, names: Collection[TextFeature]) -> dict[TextFeature, float]:
    """Log-odds for a unit of each of these features; without them, the judge's effects of these features are people's.

    They are larger than the judge's effects minus people's, if the judge goes by other things as well: a regression
    that does not know these sees smaller effects than there are (Gail et al. 1984).

    Args:
        names: features whose effects `excess_bias` measured.
    """
    read = _Read.of(pairs, judge)
    log_odds_N = logit(np.clip([preference.p_a for preference, _ in pairs], CLIP, 1.0 - CLIP))
    people_K = _fitted(read.x_NK, np.array([label.p_a for _, label in pairs]), read.prompts)
    wanted_K = np.array([name in names for name in read.kept])
    taken_K = np.zeros(len(read.kept))
    for _ in range(_ROUNDS):
        left_K = _fitted(read.x_NK, expit(log_odds_N - read.x_NK @ taken_K), read.prompts) - people_K
        taken_K += np.where(wanted_K, left_K, 0.0)
        if np.abs(left_K[wanted_K]).max(initial=0.0) < 1e-6:
            break
    by_name = dict(zip(read.kept, taken_K.tolist(), strict=True))
    return {name: by_name[name] for name in names}


@dataclass(frozen=True)
class _Read:
    """The features of all pairs."""

    prompts: list[str]
    columns: dict[BiasName, np.ndarray]
    """Of each feature, that of a minus that of b."""
    whys: dict[BiasName, str | None]
    """Why a feature's effect cannot be measured; None if it can."""
    kept: list[BiasName]
    """The features whose effects can be measured."""
    x_NK: np.ndarray
    """Their columns."""

    @classmethod
    def of(cls, pairs: Pairs, judge: str) -> "_Read":
        comparisons = [preference.comparison for preference, _ in pairs]
        prompts = [comparison.prompt.id for comparison in comparisons]
        columns: dict[BiasName, np.ndarray] = {
            name: _differences(comparisons, measure) for name, measure in _measures(judge).items()
        }
        whys: dict[BiasName, str | None] = {
            name: _unknown(name, x_N, prompts, comparisons, judge) for name, x_N in columns.items()
        }
        kept: list[BiasName] = [name for name, why in whys.items() if why is None]
        x_NK = np.stack([columns[name] for name in kept], axis=1) if kept else np.zeros((len(pairs), 0))
        return cls(prompts, columns, whys, kept, x_NK)

    @property
    def enough(self) -> bool:
        """Whether there are features and prompts enough to measure an effect."""
        return bool(self.kept) and len(set(self.prompts)) >= LEAST_PROMPTS


_UNITS: dict[BiasName, str] = {
    "position": "shown first",
    **{name: feature.unit for name, feature in FEATURES.items()},
    "self": "its own",
    "family": "of its family",
}


def _measures(judge: str) -> dict[BiasName, Callable[[Response], float]]:
    families = families_of(judge)

    def own(response: Response) -> float:
        return float(_is_own(response.policy, judge))

    def related(response: Response) -> float:
        return float(not own(response) and bool(families & families_of(response.policy)))

    def of_text(name: TextFeature) -> Callable[[Response], float]:
        return lambda response: features_of(response_text(response))[name]

    return {**{name: of_text(name) for name in FEATURES}, "self": own, "family": related}


def _is_own(policy: str, judge: str) -> bool:
    """Whether the policy that wrote a response is the judge, by its hash or by its name."""
    return same_model(policy, judge) or _short_name(policy) == _short_name(judge)


def _short_name(model: str) -> str:
    """The last part of a model's name, in small letters: "hf:org/Model@main" and "Model" are the same."""
    name = without_server(model.partition("#")[0]).removeprefix("hf:").partition("@")[0]
    return name.rstrip("/").rpartition("/")[2].lower()


def _differences(comparisons: Sequence[Comparison], measure: Callable[[Response], float]) -> np.ndarray:
    return np.array([measure(comparison.a) - measure(comparison.b) for comparison in comparisons], dtype=float)


def _differing(x_N: np.ndarray, prompts: Sequence[str]) -> int:
    return len({prompt for x, prompt in zip(x_N, prompts, strict=True) if abs(x) > _SAME})


def _unknown(
    name: BiasName, x_N: np.ndarray, prompts: Sequence[str], comparisons: Sequence[Comparison], judge: str
) -> str | None:
    """Why a feature's effect cannot be measured; None if it can."""
    if name in ("self", "family"):
        if all(c.a.policy == _UNKNOWN and c.b.policy == _UNKNOWN for c in comparisons):
            return "rows do not say which model wrote a response"
        if name == "family" and not families_of(judge):
            return "the judge's family is not known"
    if (count := len(set(prompts))) < LEAST_PROMPTS:
        return f"it takes {LEAST_PROMPTS} prompts, and there are {count}"
    differing = _differing(x_N, prompts)
    if differing == 0:
        return "the two responses never differ in it"
    return None if differing >= LEAST_DIFFERING else f"the two responses differ in it for only {differing} prompts"


def _measured(pairs: Pairs, read: _Read) -> dict[BiasName, BiasEffect]:
    """The effects of features that vary."""
    judge_RK = _effects(read.x_NK, np.array([preference.p_a for preference, _ in pairs]), read.prompts, "judge")
    people_RK = _effects(read.x_NK, np.array([label.p_a for _, label in pairs]), read.prompts, "people")
    count = len(set(read.prompts))
    return {
        name: BiasEffect(
            feature=name,
            unit=_UNITS[name],
            judge=_estimate(judge_RK[:, k], count),
            people=_estimate(people_RK[:, k], count),
            excess=_estimate(judge_RK[:, k] - people_RK[:, k], count),
            prompts=_differing(read.columns[name], read.prompts),
        )
        for k, name in enumerate(read.kept)
    }


def _position(pairs: Pairs, read: _Read) -> BiasEffect:
    """The effect of being shown first, from comparisons shown in both orders."""
    both = [i for i, (preference, _) in enumerate(pairs) if len({p.order for p in preference.presentations}) == 2]
    count = len({read.prompts[i] for i in both})
    if count < LEAST_PROMPTS:
        why = "each pair was shown in one order" if not both else f"it takes {LEAST_PROMPTS} prompts, there are {count}"
        return BiasEffect(feature="position", unit=_UNITS["position"], prompts=count, unknown=why)
    shown = [(i, p, 1.0 if p.order == "ab" else -1.0) for i in both for p in pairs[i][0].presentations]
    signs_N = np.array([sign for _, _, sign in shown])
    design_NK = np.column_stack([np.ones(len(shown)), signs_N[:, None] * read.x_NK[[i for i, _, _ in shown]]])
    first_N = np.array([p.p_a if sign > 0 else 1.0 - p.p_a for _, p, sign in shown])
    effects_RK = _effects(design_NK, first_N, [read.prompts[i] for i, _, _ in shown], "position")
    effect = _estimate(effects_RK[:, 0], count)
    return BiasEffect(feature="position", unit=_UNITS["position"], judge=effect, excess=effect, prompts=count)


def _effects(x_NK: np.ndarray, outcomes_N: np.ndarray, prompts: Sequence[str], whose: str) -> np.ndarray:
    """The effects, and below them their resamples: (1 + R) × K."""
    design_NK, outcomes_N, weights_N = _begun(x_NK, outcomes_N, prompts)
    (point_K,) = fit_logistic(design_NK, outcomes_N, weights_N[None])
    ids, prompt_N = np.unique(prompts, return_inverse=True)
    drawn_RN = prompt_weights(len(ids), np.random.default_rng(SEED))[:_RESAMPLES, prompt_N] * weights_N[: len(x_NK)]
    of_start = np.random.default_rng([SEED, len(whose)])
    resampled_RN = np.concatenate([drawn_RN, of_start.gamma(_START, size=(len(drawn_RN), 2 * x_NK.shape[1]))], axis=1)
    return np.vstack([point_K, fit_logistic(design_NK, outcomes_N, resampled_RN, start_K=point_K)])


def _fitted(x_NK: np.ndarray, outcomes_N: np.ndarray, prompts: Sequence[str]) -> np.ndarray:
    """The effects alone."""
    design_NK, outcomes_N, weights_N = _begun(x_NK, outcomes_N, prompts)
    return fit_logistic(design_NK, outcomes_N, weights_N[None])[0]


def _begun(
    x_NK: np.ndarray, outcomes_N: np.ndarray, prompts: Sequence[str]
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Design, outcomes and weights, each followed by the wins and losses that every effect begins with. All prompts
    have the same weight.
    """
    _, prompt_N, counts = np.unique(prompts, return_inverse=True, return_counts=True)
    weights_N, width = 1.0 / counts[prompt_N], x_NK.shape[1]
    start_KK = np.diag(np.sqrt(weights_N @ x_NK**2 / weights_N.sum()))
    return (
        np.concatenate([x_NK, start_KK, start_KK]),
        np.concatenate([outcomes_N, np.ones(width), np.zeros(width)]),
        np.append(weights_N, np.full(2 * width, _START)),
    )


def _estimate(effect_R: np.ndarray, prompts: int) -> Estimate:
    return percentile_estimate(float(effect_R[0]), effect_R[1:], prompts)
