import pytest

from preceptor.core.sentences import sentences


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("One. Two! Three?", ["One.", "Two!", "Three?"]),
        ("It rose by 3.5 percent. It fell.", ["It rose by 3.5 percent.", "It fell."]),
        ("Dr. Wu and J. Smith et al. (2020) agree. I do.", ["Dr. Wu and J. Smith et al. (2020) agree.", "I do."]),
        ("He said no. Then he left.", ["He said no.", "Then he left."]),
        ('"It ended." She stood up.', ['"It ended."', "She stood up."]),
        ("first line\n\n- second line\n...", ["first line", "- second line"]),
        ("一。二！三", ["一。", "二！", "三"]),
        ("without an end", ["without an end"]),
        ("", []),
        (" .. \n !? ", []),
    ],
)  # fmt: skip
def test_where_sentences_end(text: str, expected: list[str]) -> None:
    assert sentences(text) == expected


def test_runs_of_marks_are_read_once() -> None:
    assert len(sentences("a" + "." * 300_000 + "b")) == 1
    assert len(sentences("x. y " * 50_000)) == 1
    assert len(sentences("X1. " * 50_000)) == 50_000
