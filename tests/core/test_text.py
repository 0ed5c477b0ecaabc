"""Text from outside is shown without what acts or hides in it, and otherwise as it is."""

import json

import pytest

from preceptor.core.text import printable, printable_json, printable_line


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("\x1b[31mred\x1b[0m", r"\x1b[31mred\x1b[0m"),
        ("\x1b]0;title\x07", r"\x1b]0;title\x07"),
        ("\x9b31m", r"\x9b31m"),
        ("over\rwritten\x08\x7f", r"over\rwritten\x08\x7f"),
        ("back\u202eward\u2066\u2069", r"back\u202eward\u2066\u2069"),
        ("\u200e\u200f\u061c", r"\u200e\u200f\u061c"),
        ("zero\u200bwidth\ufeff\u2060\u00ad", r"zero\u200bwidth\ufeff\u2060\xad"),
        ("a\u200db", r"a\u200db"),
        ("line\u2028paragraph\u2029", r"line\u2028paragraph\u2029"),
        ("tag\U000e0041", r"tag\U000e0041"),
        ("not Unicode \udc80", r"not Unicode \udc80"),
        ("a\x00b\x85", r"a\x00b\x85"),
    ],
)
def test_what_acts_or_hides_is_written_out(text: str, shown: str) -> None:
    assert printable(text) == shown
    assert printable(shown) == shown


@pytest.mark.parametrize(
    "text",
    [
        "plain",
        "two\nlines\tand a tab",
        "naïve café",
        "😀 👨‍👩‍👧 ❤️",
        "می‌خواهم",
        "क्‍ष",
        "שלום",
        "中文",
        "[red]:smile:`$x$`",
    ],
)
def test_other_text_stays_as_it_is(text: str) -> None:
    assert printable(text) == text


def test_windows_lines_are_lines() -> None:
    assert printable("one\r\ntwo") == "one\ntwo"


def test_one_line_is_one_line() -> None:
    assert printable_line("a\nb\tc\x1b") == r"a\nb\tc\x1b"


def test_json_says_the_same() -> None:
    value = {"na\u202eme\x7f": ["\x1b[31m", "\u2028", "\U000e0041", "\udc80", "é \u200d 👨‍👩‍👧", 'quo"te\\']}
    for document in (json.dumps(value, ensure_ascii=False, indent=1), json.dumps(value)):
        shown = printable_json(document)
        assert json.loads(shown) == value
        assert printable(shown) == shown
    assert "👨‍👩‍👧" in printable_json(json.dumps(value, ensure_ascii=False))
