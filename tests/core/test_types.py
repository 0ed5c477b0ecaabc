import math
from statistics import pstdev

import pytest
from pydantic import ValidationError

from preceptor.core.types import Comparison, Message, Preference, Presentation, Prompt, Rater, Response, Score, Verdict

RATER = Rater(model="m", constitution="c 1", constitution_hash="h")


def score(probabilities: dict[str, float], values: dict[str, float]) -> Score:
    return Score(verdict=Verdict(probabilities=probabilities, choice_mass=1.0), values=values, rater=RATER)


def test_expectation_by_hand() -> None:
    result = score({"1": 0.25, "2": 0.25, "10": 0.5}, {"1": 1, "2": 2, "10": 10})
    assert result.expectation == pytest.approx(5.75)
    assert result.rescaled == pytest.approx(2 * (5.75 - 1) / 9 - 1)


def test_log_odds_by_hand() -> None:
    result = score({"bad": 0.2, "good": 0.8}, {"bad": -1, "good": 1})
    assert result.log_odds == pytest.approx(math.log(4))


def test_log_odds_are_bounded_where_a_probability_underflows() -> None:
    assert score({"bad": 0.0, "good": 1.0}, {"bad": -1, "good": 1}).log_odds == pytest.approx(math.log(1e6 - 1))


def test_log_odds_need_two_choices() -> None:
    with pytest.raises(ValueError, match="two choices"):
        _ = score({"1": 0.5, "2": 0.25, "3": 0.25}, {"1": 1, "2": 2, "3": 3}).log_odds


@pytest.mark.parametrize("probabilities", [{"a": 0.5, "b": 0.6}, {"a": math.nan, "b": 1.0}, {"a": -0.5, "b": 1.5}])
def test_a_verdict_is_a_distribution(probabilities: dict[str, float]) -> None:
    with pytest.raises(ValidationError):
        Verdict(probabilities=probabilities, choice_mass=1.0)


def test_every_choice_has_a_value() -> None:
    with pytest.raises(ValidationError):
        score({"a": 0.5, "b": 0.5}, {"a": 1})


def test_types_are_frozen_and_strict_about_fields() -> None:
    prompt = Prompt(id="1", conversation=(Message(role="user", content="hi"),))
    with pytest.raises(ValidationError):
        prompt.id = "2"  # pyright: ignore
    with pytest.raises(ValidationError):
        Prompt.model_validate({"id": "1", "conversation": [], "cohort": "x"})


@pytest.mark.parametrize("shown", [[0.3], [0.1, 0.7], [1e-9, 0.0], [0.1, 0.1, 0.1], [0.9, 0.2, 0.4, 0.35]])
def test_disagreement_is_the_standard_deviation_and_nothing_where_all_agree(shown: list[float]) -> None:
    verdict = Verdict(probabilities={"1": 0.5, "2": 0.5}, choice_mass=1.0)
    prompt = Prompt(id="p", conversation=(Message(role="user", content="?"),))
    preference = Preference(
        comparison=Comparison(
            id="i", prompt=prompt, a=Response(prompt_id="p", text="a"), b=Response(prompt_id="p", text="b")
        ),
        p_a=0.5,
        rater=RATER,
        presentations=tuple(Presentation(order="ab", p_a=p_a, verdict=verdict) for p_a in shown),
    )
    assert preference.disagreement == pytest.approx(pstdev(shown), rel=1e-14, abs=0.0)


def test_a_preference_and_a_score_are_shown_on_one_line() -> None:
    scored = score({"low": 0.25, "high": 0.75}, {"low": 0.0, "high": 4.0})
    assert repr(scored) == "Score(3.000 on a scale from 0 to 4, by m)"
    prompt = Prompt(id="p", conversation=(Message(role="user", content="Why?"),))
    a, b = (Response(prompt_id="p", text=text) for text in ("x", "y"))
    preference = Preference(
        comparison=Comparison(id="c", prompt=prompt, a=a, b=b),
        p_a=0.5,
        p_tie=0.25,
        rater=RATER,
        presentations=(Presentation(order="ab", p_a=0.5, p_tie=0.25, verdict=scored.verdict),),
    )
    assert str(preference) == "Preference(p_a=0.500, p_tie=0.250, 1 presentations, by m)"
