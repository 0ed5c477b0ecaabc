"""A filter of rows: as it stands in the address of a page, and as a condition in SQL."""

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from typing import Any
from urllib.parse import urlencode

from preceptor.core.errors import UsageError, nearest

WHAT = {
    "judgements": "kind = 'judgement'",
    "trajectories": "kind = 'judgement' AND steps > 0",
    "failures": "kind = 'failure'",
    "scores": "kind = 'score'",
    "all": "1",
}
"""What is listed, and its condition."""
PEOPLE = {
    "asked": "people IS NOT NULL",
    "agree": "people = 1",
    "differ": "people = 0",
    "undecided": "people = 2",
    "not asked": "people IS NULL",
}
_RATED = "compared IN (SELECT compared FROM temp.rated)"
RATED = {
    "rated": _RATED,
    "agree": "p > 0.5 AND compared IN (SELECT compared FROM temp.rated WHERE people = 1)",
    "differ": "p > 0.5 AND compared IN (SELECT compared FROM temp.rated WHERE people = 0)",
    "undecided": f"{_RATED} AND (p = 0.5 OR compared IN (SELECT compared FROM temp.rated WHERE people = 2))",
    "not rated": f"compared IS NOT NULL AND NOT {_RATED}",
}
"""What raters of the studio said; `rated.RatedRows.attach` makes the table."""
FLIP = {"yes": "flip = 1", "no": "flip = 0"}
_NAMED = ("cohort", "judge", "reason")
RANGES = ("p", "disagreement", "length", "difference", "score")
_TEXT = "(SELECT name FROM names WHERE names.id = rows.{})"
SORTS = {
    "written": "place",
    "id": "row_id",
    **{name: f"coalesce({_TEXT.format(name)}, char(1114111))" for name in _NAMED},
    **{name: name for name in (*RANGES, "flip", "people")},
}
"""By what rows can be sorted, and its expression."""
_MOST_WORDS = 24
_ONE_WORD = re.compile(r"(?:(?![\u0900-\U0010ffff])[^\W_])+")
"""What every version of SQLite takes for one word; in some later scripts it knows other letters than Python."""
_LAST = 9e300
"""Where rows without a value stand: behind all others."""


@dataclass(frozen=True)
class Condition:
    """A condition on `rows`, with its values."""

    sql: str
    values: tuple[Any, ...] = ()


@dataclass(frozen=True)
class Filter:
    """Which rows are shown, in which order. Every field is a parameter of the address; empty ones are left out."""

    what: str = "judgements"
    folder: str = ""
    cohort: str = ""
    judge: str = ""
    reason: str = ""
    people: str = ""
    """What the input's labels of people say."""
    rated: str = ""
    flip: str = ""
    words: str = ""
    p_from: str = ""
    p_to: str = ""
    disagreement_from: str = ""
    disagreement_to: str = ""
    length_from: str = ""
    length_to: str = ""
    difference_from: str = ""
    difference_to: str = ""
    score_from: str = ""
    score_to: str = ""
    sort: str = "written"
    """By what; a minus before it reverses the order."""

    @classmethod
    def read(cls, query: Mapping[str, str]) -> "Filter":
        """The filter in an address.

        Raises: UsageError for an unknown choice, or for text where a number is expected.
        """
        given = {field.name: query[field.name].strip() for field in fields(cls) if query.get(field.name, "").strip()}
        made = cls(**given)
        for name, known in (("what", WHAT), ("people", PEOPLE), ("rated", RATED), ("flip", FLIP), ("sort", SORTS)):
            value = getattr(made, name).removeprefix("-" if name == "sort" else "\0")
            if value and value not in known:
                raise UsageError(f'{name} "{value[:40]}": {nearest(value, known)}')
        for name in RANGES:
            made.bounds(name)
        return made

    def bounds(self, name: str) -> tuple[float | None, float | None]:
        """The limits of a column, each None where there is none.

        Raises: UsageError for a limit that is not a number.
        """
        return _number(name, "from", getattr(self, f"{name}_from")), _number(name, "to", getattr(self, f"{name}_to"))

    @property
    def given(self) -> dict[str, str]:
        """What differs from the usual, by parameter."""
        return {
            field.name: getattr(self, field.name)
            for field in fields(self)
            if getattr(self, field.name) not in ("", field.default)
        }

    def query(self, **changed: str | int) -> str:
        """The filter as the query of an address, after `?`, with other parameters added or changed."""
        return urlencode(self.given | changed)

    @property
    def narrowed(self) -> bool:
        """Whether it leaves any row out, apart from what is listed."""
        return replace(self, what="judgements", sort="written") != Filter()

    @property
    def order(self) -> tuple[str, str]:
        """The expression that rows are sorted by, and ASC or DESC. Rows without a value come last."""
        name, down = self.sort.removeprefix("-"), self.sort.startswith("-")
        key = SORTS[name]
        if name in (*RANGES, "flip", "people"):
            key = f"ifnull({key}, {-_LAST if down else _LAST})"
        return key, "DESC" if down else "ASC"

    def condition(self) -> Condition:
        """The condition that the rows fulfil."""
        parts = [Condition(WHAT[self.what])]
        if self.folder:
            parts.append(Condition("file IN (SELECT id FROM files WHERE folder = ?)", (self.folder,)))
        for name in _NAMED:
            if value := getattr(self, name):
                parts.append(Condition(f"{name} = (SELECT id FROM names WHERE name = ?)", (value,)))
        parts += [Condition(PEOPLE[self.people])] if self.people else []
        parts += [Condition(RATED[self.rated])] if self.rated else []
        parts += [Condition(FLIP[self.flip])] if self.flip else []
        for name in RANGES:
            low, high = self.bounds(name)
            parts += [] if low is None else [Condition(f"{name} >= ?", (low,))]
            parts += [] if high is None else [Condition(f"{name} <= ?", (high,))]
        if self.words:
            parts.append(_containing(self.words))
        values = tuple(value for part in parts for value in part.values)
        return Condition(" AND ".join(part.sql for part in parts), values)


def matches(words: str) -> dict[str, str]:
    """A search as FTS5 takes it, by the table that is searched; empty if it has no word. What stands in every one of
    the tables is found.

    All words must occur. Words within quotation marks must follow each other; a word that ends with `*` stands for all
    that begin with it. Everything else in the text is an ordinary character: no operator of FTS5 is one here.
    """
    found: dict[str, list[str]] = {}
    for quoted, single in re.findall(r'"([^"]*)"|([^\s"]+)', words.replace("\0", " "))[: 2 * _MOST_WORDS]:
        text, star = quoted or single.rstrip("*"), "*" if single.endswith("*") else ""
        if re.search(r"[^\W_]", text):
            table = "beginnings" if star and _ONE_WORD.fullmatch(text) else "words"
            found.setdefault(table, []).append(f'"{text}"{star}')
    return {table: " ".join(queries[:_MOST_WORDS]) for table, queries in found.items()}


def _containing(words: str) -> Condition:
    queries = matches(words)
    parts = [f"id IN (SELECT rowid FROM {table} WHERE {table} MATCH ?)" for table in queries]
    return Condition(" AND ".join(parts) or "0", tuple(queries.values()))


def _number(name: str, end: str, text: str) -> float | None:
    if not text:
        return None
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if not math.isfinite(number):
        raise UsageError(f'{name} {end} "{text[:40]}": expected a number')
    return number
