"""What raters are told, from a constitution."""

from preceptor.judging.constitution import load_constitution
from preceptor.studio.people.guidelines import guidelines_of


def test_a_constitution_becomes_guidelines_with_the_better_response_first() -> None:
    constitution = load_constitution("helpful")
    told = guidelines_of(constitution)
    assert (told.title, told.question) == ("helpful", "Which response helps the person who asked more?")
    assert len(told.principles) == len(constitution.principles)
    assert told.constitution_hash == constitution.hash
    [first, *_] = told.examples
    assert str(first["better"]).startswith("At 17 °C")
    assert str(first["worse"]).startswith("Dense bread")
    assert str(first["reason"]).startswith("The better response starts from the cold kitchen")
    assert "The worse response ignores the 17 °C" in str(first["reason"])


def test_an_example_that_prefers_neither_is_left_out() -> None:
    for name in ("honest", "harmless", "correct"):
        constitution = load_constitution(name)
        preferred = [
            e.preferred for e in constitution.pairwise.exemplars if e.preferred in constitution.pairwise.answers
        ]
        assert len(guidelines_of(constitution).examples) == len(preferred)
