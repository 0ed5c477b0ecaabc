"""Fitting what is taken off a judge: a planted excess is taken off, and what people like more is not added."""

import numpy as np
import pytest
from scipy.special import expit

from preceptor.core.errors import UsageError
from preceptor.core.types import (
    Comparison,
    HumanLabel,
    Message,
    Preference,
    Presentation,
    Prompt,
    Rater,
    Response,
    Verdict,
)
from preceptor.evaluation.judges.bias_fitting import fit_correction
from preceptor.evaluation.judges.excess_bias import excess_bias
from preceptor.judging.bias_correction import corrected
from preceptor.judging.text_features import length

RATER = Rater(model="judge", constitution="c", constitution_hash="h", settings={"order": "both"})
SCALE = {"yes": 1.0, "no": 0.0}


def comparison(number: int, rng: np.random.Generator) -> Comparison:
    prompt = Prompt(id=f"q{number}", conversation=(Message(role="user", content="why?"),))
    a, b = (Response(prompt_id=prompt.id, text="so " * int(2 ** rng.uniform(0, 6))) for _ in "ab")
    return Comparison(id=prompt.id, prompt=prompt, a=a, b=b)


def yes(log_odds: float) -> Verdict:
    p = float(expit(log_odds))
    return Verdict(probabilities={"yes": p, "no": 1 - p}, choice_mass=1.0)


def pairs(judge: float, people: float, prompts: int = 200) -> list[tuple[Preference, HumanLabel]]:
    """Scores whose log-odds are a quality, and as much for each doubling of the length as is said for each."""
    rng = np.random.default_rng(23)
    made: list[tuple[Preference, HumanLabel]] = []
    for i in range(prompts):
        asked, quality = comparison(i, rng), rng.normal(size=2) / 2
        doublings = [length(each.text) for each in (asked.a, asked.b)]
        scores = [float(q + judge * n) for q, n in zip(quality, doublings, strict=True)]
        p_a = float(expit(scores[0] - scores[1]))
        shown = tuple(
            Presentation(order=order, p_a=p_a, verdict=yes(s)) for order, s in zip(("ab", "ba"), scores, strict=True)
        )
        liked = quality[0] - quality[1] + people * (doublings[0] - doublings[1])
        label = HumanLabel(p_a=float(rng.random() < expit(liked)))
        made.append((Preference(comparison=asked, p_a=p_a, rater=RATER, presentations=shown), label))
    return made


def test_a_planted_excess_is_taken_off_and_is_gone_afterwards() -> None:
    given = pairs(judge=0.8, people=0.2)
    fitted = fit_correction(given)
    assert fitted.preference.keys() == {"length"}
    assert fitted.preference["length"] == pytest.approx(0.6, abs=0.15)
    assert (fitted.judge, fitted.settings, fitted.prompts, fitted.score) == ("judge", RATER.settings, 200, None)
    after = [(corrected(fitted, preference), label) for preference, label in given]
    [excess] = [effect.excess for effect in excess_bias(after, "judge") if effect.feature == "length"]
    assert excess is not None and excess.low is not None and excess.high is not None
    assert excess.value == pytest.approx(0.0, abs=1e-4)
    assert excess.low < 0.0 < excess.high


def test_nothing_is_added_where_people_like_more_of_it_than_the_judge() -> None:
    assert fit_correction(pairs(judge=0.1, people=0.9)).preference == {}


def test_nothing_is_taken_off_a_judge_that_likes_length_as_people_do() -> None:
    assert fit_correction(pairs(judge=0.5, people=0.5)).preference == {}


def test_scores_on_two_choices_are_corrected_in_their_own_log_odds() -> None:
    given = pairs(judge=0.8, people=0.2)
    fitted = fit_correction(given, SCALE)
    assert fitted.score == pytest.approx(fitted.preference)  # here the preferences are the differences of log-odds
    flat = [(preference.model_copy(update={"p_a": 0.5}), label) for preference, label in given]
    fitted = fit_correction(flat, SCALE)
    assert fitted.preference == {}
    assert fitted.score is not None
    assert fitted.score["length"] == pytest.approx(0.6, abs=0.15)
    assert fit_correction(given, {str(n): float(n) for n in range(1, 11)}).score is None


def test_too_few_prompts_and_ensembles_have_no_correction() -> None:
    given = pairs(judge=0.8, people=0.2, prompts=30)
    with pytest.raises(UsageError, match="20 prompts"):
        fit_correction(given[:19])
    with pytest.raises(UsageError, match="ensemble"):
        fit_correction([(p.model_copy(update={"members": (p,)}), label) for p, label in given])
