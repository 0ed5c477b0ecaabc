"""Which items stay, by numbers counted by hand."""

import math

import pytest

from preceptor.judging.rubrics.keeping import (
    Trial,
    against_people,
    agreement_with,
    flips,
    flips_too_often,
    normalised,
    repeated,
    same_for_all,
)


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("It names two causes.", "The response names two causes!", True),
        ("It names two causes.", "It names three causes.", False),
        ("It names two causes.", "It does not name two causes.", False),
        ("It mentions no costs", "It mentions costs", False),
        ("It doesn't mention costs.", "It mentions costs.", False),
        ("Mentions the cost of treatment", "It mentioned the costs of treatments", True),
        ("Gives the date of the treaty", "Gives the place of the treaty", False),  # 2 of 4 words
        ("Uses 3 sentences", "Uses 4 sentences", False),
        ("你好", "你好", True),
    ],
)
def test_a_repetition_has_the_same_words_numbers_and_negations(one: str, other: str, same: bool) -> None:
    assert repeated([(one, 1.0), (other, 2.0)]) == [None, 0 if same else None]


def test_a_repetition_is_of_the_first_of_its_like() -> None:
    criteria = ["Is short", "Is polite", "is short.", "Is SHORT!"]
    assert repeated([(criterion, 1.0) for criterion in criteria]) == [None, None, 0, 0]


def test_the_lack_of_a_merit_as_a_fault_is_the_same_item_again() -> None:
    assert repeated([("Gives a list", 5.0), ("Does not give a list", -4.0)]) == [None, 0]
    assert repeated([("Does not give a list", -4.0), ("Gives a list", 5.0)]) == [None, 0]
    assert repeated([("Does not give a list", 4.0), ("Gives a list", 5.0)]) == [None, None]
    assert repeated([("Gives 2 lists", 5.0), ("Does not give 3 lists", -4.0)]) == [None, None]


def test_equal_words_are_equal_whatever_the_marks() -> None:
    assert normalised("It's  *short*!") == normalised("it’s short")


def test_an_item_that_all_or_none_meet_tells_nothing_apart() -> None:
    assert same_for_all((0.9, 0.2)) is None
    assert same_for_all((0.9, 0.5)) == "met by all"
    assert same_for_all((0.1, 0.49, 0.0)) == "met by none"


def test_a_missing_verdict_is_not_a_verdict() -> None:
    assert same_for_all((0.9, None)) == "not judged"
    assert same_for_all((0.9, None, 0.8)) == "met by all"
    assert same_for_all(()) == "not judged"


def test_an_item_flips_if_more_than_a_quarter_of_the_verdicts_change() -> None:
    met = (0.9, 0.8, 0.2, 0.1)
    assert flips(Trial(met, (0.6, 0.7, 0.4, 0.3))) == (0, 4)
    assert not flips_too_often(Trial(met, (0.4, 0.7, 0.4, 0.3)))  # one of four
    assert flips_too_often(Trial(met, (0.4, 0.4, 0.4, 0.3)))
    assert flips(Trial(met, (0.4, None, None, 0.3))) == (1, 2)
    assert flips_too_often(Trial(met, (0.4, None, None, 0.3)))


def test_what_was_not_rephrased_does_not_flip() -> None:
    assert flips(Trial((0.9, 0.1))) == (0, 0)
    assert not flips_too_often(Trial((0.9, 0.1)))
    assert not flips_too_often(Trial((0.9, 0.1), (None, None)))


def test_people_are_contradicted_only_beyond_chance() -> None:
    assert not against_people([False] * 4)  # 0.5^4 = 0.0625, and fewer than five
    assert against_people([False] * 5)  # 0.5^5 = 0.031
    assert not against_people([False] * 5 + [True])  # 7/64 = 0.109
    assert against_people([False] * 7 + [True])  # 9/256 = 0.035
    assert not against_people([True] * 20)


def test_agreement_with_a_labelled_pair() -> None:
    assert agreement_with(5, 0.9, 0.1, 1.0) is True
    assert agreement_with(5, 0.9, 0.1, 0.2) is False
    assert agreement_with(-5, 0.9, 0.1, 0.2) is True  # a has the fault, and people prefer b
    for undecided in ((0.9, 0.6, 1.0), (0.9, None, 1.0), (None, 0.1, 1.0), (0.9, 0.1, 0.5)):
        assert agreement_with(5, *undecided) is None


@pytest.mark.parametrize("pairs", [5, 8, 13, 21, 60])
def test_an_item_that_knows_nothing_is_held_against_people_at_most_at_the_level(pairs: int) -> None:
    held = sum(math.comb(pairs, k) for k in range(pairs + 1) if against_people([True] * k + [False] * (pairs - k)))
    assert 0 < held / 2**pairs < 0.05
