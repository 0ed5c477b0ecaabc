"""Fits what is taken off a judge's log-odds on people's labels."""

from preceptor.core.errors import UsageError
from preceptor.core.odds import sigmoid
from preceptor.core.types import Preference, Score
from preceptor.evaluation.judges.excess_bias import LEAST_PROMPTS, BiasEffect, Pairs, excess_bias, excess_to_take_off
from preceptor.judging.bias_correction import BiasCorrection, Excess
from preceptor.judging.text_features import FEATURES, TextFeature


def fit_correction(pairs: Pairs, scale: dict[str, float] | None = None) -> BiasCorrection:
    """The correction of a judge.

    A feature is taken off if the interval of its excess excludes 0 and the excess has the sign of the judge's own
    effect: where people like a feature more than the judge does, nothing is added to the judge's reward.

    Args:
        pairs: one judge's preferences, with people's labels.
        scale: the values of a score's choices, if the judge scored each response alone; with two of them, the
            correction of its scores is fitted too.

    Raises: UsageError with too few prompts, and for an ensemble.
    """
    prompts = len({preference.comparison.prompt.id for preference, _ in pairs})
    if prompts < LEAST_PROMPTS:
        raise UsageError(
            f"a bias correction needs labels of at least {LEAST_PROMPTS} prompts to which the judge answered, got "
            f"{prompts}"
        )
    rater = pairs[0][0].rater
    if any(preference.members for preference, _ in pairs):
        raise UsageError("an ensemble has no bias correction of its own; correct its judges")
    scored = None if scale is None or len(scale) != 2 else [(_by_scores(p, scale), label) for p, label in pairs]
    return BiasCorrection(
        preference=_excess(pairs, rater.model),
        score=None if scored is None else _excess(scored, rater.model),
        judge=rater.model,
        constitution_hash=rater.constitution_hash,
        settings=rater.settings,
        prompts=prompts,
    )


def _excess(pairs: Pairs, judge: str) -> Excess:
    """What is taken off, of the features whose excess is to be taken off."""
    effects = {effect.feature: effect for effect in excess_bias(pairs, judge)}
    names: list[TextFeature] = [name for name in FEATURES if _is_taken_off(effects[name])]
    return excess_to_take_off(pairs, judge, names)


def _is_taken_off(effect: BiasEffect) -> bool:
    judge, excess = effect.judge, effect.excess
    return judge is not None and excess is not None and effect.beyond_chance and judge.value * excess.value > 0.0


def _by_scores(preference: Preference, scale: dict[str, float]) -> Preference:
    """The preference whose log-odds are the difference of the responses' log-odds on the scale."""
    of = {
        shown.order: Score(verdict=shown.verdict, values=scale, rater=preference.rater).log_odds
        for shown in preference.presentations
    }
    return preference.model_copy(update={"p_a": sigmoid(of["ab"] - of["ba"])})
