"""Which evaluators a suite chooses."""

import pytest

from preceptor.core.errors import UsageError
from preceptor.judging.constitution import load_constitution, shipped_constitutions
from preceptor.tasks.evaluate.suites import ALWAYS, BLIND_SPOTS, EVERY, evaluators_of


@pytest.mark.parametrize("name", EVERY)
def test_an_evaluator_is_a_shipped_constitution_with_criteria(name: str) -> None:
    assert load_constitution(name).score.criteria


def test_blind_spots_are_told_of_shipped_constitutions() -> None:
    assert set(BLIND_SPOTS) <= set(shipped_constitutions())


def test_a_policy_trained_for_harmlessness_is_measured_for_needless_refusals_and_not_for_safety_again() -> None:
    chosen, reason = evaluators_of("rlaif", "harmless")
    assert chosen[: len(ALWAYS)] == ALWAYS
    assert "no_over_refusal" in chosen
    assert "refuses_harm" not in chosen
    assert "harmless" in reason


def test_summaries_are_checked_against_their_texts_once() -> None:
    assert evaluators_of("rlaif", "summarisation", context=True)[0] == (*ALWAYS, "groundedness")


@pytest.mark.parametrize("trained_by", [None, "rules/own.toml"])
def test_all_are_chosen_where_it_is_unknown_what_was_left_open(trained_by: str | None) -> None:
    assert evaluators_of("rlaif", trained_by)[0] == EVERY
    assert evaluators_of("rlaif", trained_by, context=True)[0] == (*EVERY, "groundedness")


def test_an_unknown_suite_is_refused_with_the_known_ones() -> None:
    with pytest.raises(UsageError, match='"rlaif"'):
        evaluators_of("safety", None)
