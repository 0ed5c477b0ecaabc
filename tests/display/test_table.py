"""One table for every result: it fits the width, loses nothing and lets nothing through that acts."""

import pytest

from preceptor.display.table import Column, Table, pairs

JUDGES = Table(
    (Column("judge"), Column("n", "right"), Column("aligned", "right")),
    [("embedded", "40", "64 %"), ("openai:gpt-4o-mini", "7", "100 %")],
    title="Judges against people",
    warnings=["The first place wins."],
    headline="Use embedded.",
    notes=["n: comparisons"],
)


def test_columns_are_aligned() -> None:
    assert JUDGES.text(80).splitlines() == [
        "! The first place wins.",
        "Use embedded.",
        "Judges against people",
        "judge                n  aligned",
        "───────────────────────────────",
        "embedded            40     64 %",
        "openai:gpt-4o-mini   7    100 %",
        "n: comparisons",
    ]


def test_words_wrap_before_the_table_is_split() -> None:
    lines = Table(JUDGES.columns, [("a judge with a long name", "40", "64 %")]).text(28).splitlines()
    assert max(map(len, lines)) <= 28
    assert lines[2:] == ["a judge with a  40     64 %", "long name"]


def test_a_table_too_wide_continues_below_with_its_first_column() -> None:
    table = Table([Column("run"), *(Column(f"measure {n}", "right") for n in range(6))], [("a", *"123456")])
    lines = table.text(30).splitlines()
    assert max(map(len, lines)) <= 30
    assert [line.split()[0] for line in lines if line and line[0] != "─"] == ["run", "a"] * 3
    assert sorted(" ".join(lines[n] for n in (2, 6, 10)).split()) == [*"123456", *"aaa"]


def test_nothing_is_cut_at_any_width() -> None:
    table = Table((Column("name"), Column("path"), Column("share", "right")), [("x" * 50, "y" * 50, "64 % [58, 70]")])
    for width in (30, 40, 80, 200):
        text = table.text(width)
        assert text.count("x") in (50, 100)  # the first column is repeated where the table is split
        assert text.count("y") == 50
        assert "64 % [58, 70]" in text
        assert max(map(len, text.splitlines())) <= width


def test_the_terminal_gives_the_width(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "12")
    assert str(Table((Column(""),), [("some words that wrap",)])) == "some words\nthat wrap"


def test_wide_characters_take_two_cells() -> None:
    lines = Table((Column("a"), Column("b")), [("日本", "x"), ("abcd", "y")]).text(80).splitlines()
    assert lines[2:] == ["日本  x", "abcd  y"]


def test_a_table_without_names_has_no_head() -> None:
    assert pairs([("calls", "3"), ("cost", "$0.10")]).text(80) == "calls  3\ncost   $0.10"


def test_further_tables_stand_before_the_notes() -> None:
    assert Table((Column("a"),), [("1",)], more=[pairs([("b", "2")])], notes=["end"]).text(80) == (
        "a\n─\n1\n\nb  2\nend"
    )


def test_hostile_text_is_shown_and_does_nothing() -> None:
    sneaky = "<script>\x1b[2J\n! All is well"
    table = Table((Column(sneaky),), [(sneaky,)], title=sneaky, notes=[sneaky], headline=sneaky)
    text, html = table.text(80), table.html()
    assert "\x1b" not in text + html
    assert not any(line.startswith("! All") for line in text.splitlines())
    assert "<script>" not in html
    assert html.count("&lt;script&gt;") == 5


def test_html_has_every_cell() -> None:
    html = JUDGES.html()
    for text in ("judge", "embedded", "64 %", "100 %", "Judges against people", "n: comparisons"):
        assert text in html
    assert html.count('<td style="text-align: right">') == 4
