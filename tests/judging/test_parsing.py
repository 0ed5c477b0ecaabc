import math

import pytest

from preceptor.backends.base import ChoiceLogProbs
from preceptor.core.types import JudgeFailure, Verdict
from preceptor.judging.parsing import parse_choice


def test_renormalised_over_the_choices() -> None:
    verdict = parse_choice(["a", "b"], ChoiceLogProbs((math.log(0.3), math.log(0.1))))
    assert isinstance(verdict, Verdict)
    assert verdict.probabilities == pytest.approx({"a": 0.75, "b": 0.25})
    assert verdict.choice_mass == pytest.approx(0.4)


def test_far_apart_choices_do_not_underflow_to_an_error() -> None:
    verdict = parse_choice(["a", "b"], ChoiceLogProbs((-2000.0, -2001.0)))
    assert isinstance(verdict, Verdict)
    assert verdict.probabilities["a"] == pytest.approx(1 / (1 + math.exp(-1)))
    assert verdict.choice_mass == 0.0


@pytest.mark.parametrize(
    "log_probs", [(math.nan, -1.0), (0.5, -1.0), (math.inf, -1.0), (-math.inf, -math.inf), (-1.0,), (-1.0, -1.0, -1.0)]
)
def test_what_is_no_distribution_is_a_failure_and_no_number(log_probs: tuple[float, ...]) -> None:
    result = parse_choice(["a", "b"], ChoiceLogProbs(log_probs))
    assert isinstance(result, JudgeFailure)
    assert result.reason == "invalid_log_probs"


def test_a_failure_passes_through() -> None:
    failure = JudgeFailure(reason="prompt_too_long", detail="x")
    assert parse_choice(["a", "b"], failure) is failure
