"""A filter as it stands in an address: read back unchanged, refused with a reason, and never a query of its own."""

import sqlite3

import pytest

from preceptor.core.errors import UsageError
from preceptor.store.migrations import migrate
from preceptor.studio.rows.filters import Filter, matches
from preceptor.studio.rows.schema import STEPS


def test_a_filter_stands_in_the_address_and_is_read_back() -> None:
    chosen = Filter.read({"words": ' refund "next day" ', "p_from": "0.9", "sort": "-p", "page": "3", "cohort": ""})
    assert chosen == Filter(words='refund "next day"', p_from="0.9", sort="-p")
    assert chosen.query(page=2) == "words=refund+%22next+day%22&p_from=0.9&sort=-p&page=2"
    assert Filter().query() == ""
    assert chosen.narrowed
    assert not Filter(what="failures", sort="p").narrowed


@pytest.mark.parametrize(
    ("query", "said"),
    [
        ({"p_from": "high"}, "expected a number"),
        ({"length_to": "nan"}, "expected a number"),
        ({"sort": "-lenght"}, "length"),
        ({"what": "labels"}, "what"),
        ({"people": "agre"}, "agree"),
    ],
)
def test_a_mistake_in_an_address_is_named(query: dict[str, str], said: str) -> None:
    with pytest.raises(UsageError, match=said):
        Filter.read(query)


def test_a_search_has_words_phrases_and_beginnings() -> None:
    assert matches("refund late") == {"words": '"refund" "late"'}
    assert matches('refund "next day" ship* lat*') == {"words": '"refund" "next day"', "beginnings": '"ship"* "lat"*'}
    assert matches("next-da*") == {"words": '"next-da"*'}  # two words that follow each other
    assert matches("* ** -- ' \" ()") == {}


@pytest.mark.parametrize(
    "hostile",
    ['"', '""', "a OR b", "NEAR(a b)", "prompt : a", "a AND", "(a", "*a", "a*b*", "^a", "{a}", "'; DROP TABLE x; --",
     "a\0b", 'a"b"c"', "\\", "+", "a - b", "☃", "a\u19b0b*", "né*e*", "½*", "a_b*", "x" * 10_000, "a " * 5_000],
)  # fmt: skip
def test_no_search_is_a_mistake_in_the_language_of_fts5(hostile: str) -> None:
    database = sqlite3.connect(":memory:")
    migrate(database, STEPS)
    for table, query in matches(hostile).items():
        database.execute(f"SELECT count(*) FROM {table} WHERE {table} MATCH ?", [query]).fetchall()


def test_operators_are_ordinary_words() -> None:
    database = sqlite3.connect(":memory:")
    database.execute("CREATE VIRTUAL TABLE words USING fts5 (text)")
    database.executemany("INSERT INTO words VALUES (?)", [("cats",), ("dogs",), ("cats or dogs",)])
    found = database.execute(
        "SELECT text FROM words WHERE words MATCH ?", [matches("cats OR dogs")["words"]]
    ).fetchall()
    assert found == [("cats or dogs",)]
