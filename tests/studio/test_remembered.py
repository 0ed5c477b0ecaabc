"""Values are made once for each mark, and only the latest are kept."""

import pytest

from preceptor.studio.remembered import Remembered


def test_a_value_is_made_again_with_another_mark_and_the_oldest_is_forgotten() -> None:
    made: list[str] = []
    remembered = Remembered(2)

    def make(name: str) -> str:
        made.append(name)
        return name.upper()

    for key, mark in (("a", 1), ("a", 1), ("b", 1), ("a", 2), ("c", 1), ("a", 2), ("b", 1)):
        assert remembered.get(key, mark, lambda key=key: make(key)) == key.upper()
    assert made == ["a", "b", "a", "c", "b"]  # c was the third key, so b was forgotten


def test_an_error_is_not_remembered() -> None:
    remembered = Remembered(2)
    for _ in range(2):
        with pytest.raises(ZeroDivisionError):
            remembered.get("a", 1, lambda: 1 // 0)
    assert remembered.get("a", 1, lambda: 3) == 3
