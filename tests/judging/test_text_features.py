"""Features of texts, by hand."""

import pytest

from preceptor.judging.text_features import FEATURES, features_of, length, lists, markdown, refusal, sentiment


def test_a_text_twice_as_long_is_longer_by_one() -> None:
    assert length("abc") == 2.0
    assert length("abcdefg") == 3.0
    assert length("") == 0.0


@pytest.mark.parametrize(
    "text",
    ["# Title", "It is **bold**.", "Use `print`.", "```\ncode\n```", "> said", "| a | b |", "[here](https://x.org)"],
)
def test_markdown_is_found(text: str) -> None:
    assert markdown(f"One line.\n{text}") == 1.0


@pytest.mark.parametrize("text", ["", "2 * 3 * 4", "#hashtag", "- an item", "a_b and __init", "x | y", "f(x)[1] (no)"])
def test_plain_text_and_lists_are_no_markdown(text: str) -> None:
    assert markdown(text) == 0.0


def test_lists_are_the_share_of_lines_that_are_items() -> None:
    assert lists("Do this:\n\n- one\n* two\n3. three") == 0.75
    assert lists("3.5 is a number\n-dash") == 0.0
    assert lists(" \n") == 0.0


def test_the_tone_of_a_text_does_not_grow_with_its_length() -> None:
    once = "This is wonderful."
    assert sentiment(once) > 0.5
    assert sentiment(f"{once} {once}\n{once}") == pytest.approx(sentiment(once))
    assert sentiment("This is terrible.") < 0 == sentiment("")


def test_refusals_are_told_by_how_they_begin() -> None:
    assert (refusal("I'm sorry, but I can't help with that."), refusal("Take two eggs.")) == (1.0, 0.0)


def test_a_text_has_every_feature() -> None:
    assert features_of("- a\n- b") == {"length": 3.0, "markdown": 0.0, "lists": 1.0, "sentiment": 0.0, "refusal": 0.0}
    assert features_of("").keys() == FEATURES.keys()


def test_hostile_texts_are_read_in_linear_time() -> None:
    for text in ("**" * 100_000, "[" * 200_000, "`" * 200_000 + "x", "|" * 200_000, " " * 200_000 + "x"):
        assert features_of(text)["lists"] == 0.0
