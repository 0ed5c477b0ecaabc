"""Hostile texts: what a page shows is bounded, nothing of it runs, and no text is lost."""

import re
from collections.abc import Callable

import pytest
from markupsafe import Markup

from preceptor.reports.compare.page import MOST_LINES, diff
from preceptor.studio.text import MOST_RENDERED, Renderer, differences


def words_of(html: Markup) -> str:
    return html.striptags().replace(" ", "")


def test_markdown_ends_where_a_page_has_too_much_of_it() -> None:
    rendered = Renderer()
    assert "<strong>" in rendered("**a** " + "b " * (MOST_RENDERED // 2 - 10))
    beyond = rendered("**c** " + "d " * 10)
    assert "Not formatted" in beyond
    assert "**c**" in beyond
    assert "<strong>" in Renderer()("**c**")


@pytest.mark.parametrize(
    "hostile",
    [
        "[" * 50_000,
        "> " * 40_000,
        "\n".join("  " * n + "- a" for n in range(300)),
        "![" * 20_000 + "a" + "](b)" * 10_000,
        "[a](b)" * 16_000,
        " ".join("`" * n for n in range(1, 400)),
        "|" + "a|" * 4_000 + "\n|" + "-|" * 4_000 + "\n" + "|\n" * 10_000,
        "```python\n" + "\n " * 2_000 + "\n```",
        "```easytrieve\n" + "\t" * 4_900 + "\n```",
        "```scala\nx = " + "\\" * 4_900 + "\n```",
        "````markdown\n```scala\nx = " + "\\" * 4_800 + "\n```\n````",
        "x" * (1 << 20),
    ],
    ids=lambda text: text[:8].strip(),
)
def test_hostile_markdown_is_shown(hostile: str) -> None:
    assert "<" in Renderer()(hostile)


@pytest.mark.parametrize("language", ["python", "nonsense", "", '"><script>'])
def test_code_is_text_whatever_its_language(language: str) -> None:
    html = Renderer()(f"```{language}\nif a < b: '<script>'\n```")
    assert "script>" not in html.replace("&gt;", ">").replace("&lt;script>", "")
    assert "ifa<b:'<script>'" in words_of(html)


@pytest.mark.parametrize(("language", "coloured"), [("py", True), ("sh", True), ("c++", True), ("scala", False)])
def test_code_of_common_languages_is_highlighted(language: str, coloured: bool) -> None:
    html = Renderer()(f'```{language}\nx = "text" # 1\n```')
    assert ("<span" in html) == coloured
    assert words_of(html) == 'x="text"#1'


def test_only_what_differs_is_marked() -> None:
    one, other = differences("the good  answer.", "the bad answer, indeed.")
    assert re.findall(r"<del>(.*?)</del>", one) == ["good  "]
    assert re.findall(r"<ins>(.*?)</ins>", other) == ["bad ", ", indeed"]


def alternating(other: str) -> str:
    return " ".join(f"same {other}{n}" for n in range(900))


@pytest.mark.parametrize(
    ("one", "other", "compared"),
    [
        ("a " * 1_990 + "b", "a " * 1_990 + "c", True),  # every word equals every other, so by line
        ("\n".join("ab" * 9_000), "\n".join("ba" * 9_000), False),
        ("prefix " * 200 + "b", "prefix " * 200 + "c", True),
        ("line of words\n" * 900 + "b\n" * 3_000, "line of words\n" * 900 + "c\n" * 3_000, True),  # by line
        ("x" * (1 << 20), "x" * (1 << 20) + "y", True),
    ],
)
def test_a_comparison_that_would_take_too_long_says_so(one: str, other: str, compared: bool) -> None:
    first, second = differences(one, other)
    assert ("Not compared" in first, "Not compared" in second) == (not compared, not compared)
    assert ("<del>" in first) == compared
    assert words_of(first).removeprefix("Notcompared:thesetextsaretoolong.") == "".join(one.split())


def test_a_comparison_of_many_steps_ends() -> None:
    first, _ = differences(alternating("u"), alternating("v"))
    assert "same" in first


@pytest.mark.parametrize("line", [lambda n: "same", lambda n: str(n % 150)])
def test_two_long_files_are_not_compared(line: Callable[[int], str]) -> None:
    text = "\n".join(line(n) for n in range(MOST_LINES + 1))
    assert [kind for kind, _ in diff(text, text + "\nx")] == ["place"]
    assert diff("a\nb", "a\nc")
