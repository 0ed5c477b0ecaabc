"""Finding rows: a filter as it stands in a page's address, and one page of what it finds."""

import re
import sqlite3
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any
from urllib.parse import urlencode

from preceptor.studio.rows.index import Index

PAGE = 50
SORTS: dict[str, tuple[str, str]] = {
    "place": ("as in the files", "rows.source, rows.line"),
    "disputed": ("most disputed first", "disagreement DESC, rows.id"),
    "unsure": ("least sure first", "sureness, rows.id"),
    "sure": ("surest first", "sureness DESC, rows.id"),
    "long": ("longest first", "length DESC, rows.id"),
    "short": ("shortest first", "length, rows.id"),
    "apart": ("largest difference of lengths first", "abs(longer) DESC, rows.id"),
}
"""Orders by name: what they are called, and the columns."""
_CHOICES: dict[str, dict[str, str]] = {
    "kind": {"labels": "failure IS NULL", "failures": "failure IS NOT NULL"},
    "flipped": {"yes": "flipped = 1", "no": "flipped = 0"},
    "human": {"any": "human IS NOT NULL", "none": "human IS NULL AND failure IS NULL", "agrees": "agrees = 1",
              "differs": "agrees = 0"},
    "trajectory": {"yes": "trajectory = 1", "no": "trajectory = 0"},
}  # fmt: skip
_EQUAL = ("folder", "part", "cohort", "judge", "failure")
_RANGES = {"p_from": "p_a >= ?", "p_to": "p_a <= ?", "disputed_from": "disagreement >= ?", "long_from": "length >= ?"}


@dataclass(frozen=True)
class Filter:
    """Which rows to show; an empty setting filters nothing."""

    words: str = ""
    """Words that prompt or responses contain, all of them."""
    folder: str = ""
    part: str = ""
    cohort: str = ""
    judge: str = ""
    kind: str = ""
    """labels or failures."""
    failure: str = ""
    """A reason."""
    flipped: str = ""
    """yes: the same position wins in both orders; or no."""
    human: str = ""
    """any, none, agrees or differs."""
    trajectory: str = ""
    p_from: str = ""
    p_to: str = ""
    disputed_from: str = ""
    long_from: str = ""
    sort: str = "place"

    @classmethod
    def of(cls, query: Mapping[str, str]) -> "Filter":
        """The filter of a page's address; what it does not know is left out."""
        given = {field.name: query.get(field.name, "")[:500] for field in fields(cls)}
        return cls(**given | {"sort": given["sort"] if given["sort"] in SORTS else "place"})

    def address(self, **changed: str | int) -> str:
        """The filter as it stands in a page's address, with some settings replaced."""
        kept = {name: value for name, value in {**asdict(self), **changed}.items() if value not in ("", "place")}
        return urlencode(kept)

    def clauses(self) -> tuple[str, list[Any]]:
        """The filter as a condition of SQL, with its values."""
        parts, values = ["1"], list[Any]()
        for name in _EQUAL:
            if given := getattr(self, name):
                parts.append(f"{name} = ?")
                values.append(given)
        for name, known in _CHOICES.items():
            if (given := getattr(self, name)) in known:
                parts.append(known[given])
        for name, condition in _RANGES.items():
            if (number := _number(getattr(self, name))) is not None:
                parts.append(condition)
                values.append(number)
        if (query := match_query(self.words)) is not None:
            parts.append("rows.id IN (SELECT rowid FROM words WHERE words MATCH ?)")
            values.append(query)
        return " AND ".join(parts), values


@dataclass(frozen=True)
class Found:
    """A row in the list."""

    id: int
    folder: str
    part: str
    line: int
    start: int
    path: str
    name: str
    cohort: str | None
    judge: str | None
    p_a: float | None
    disagreement: float | None
    flipped: bool | None
    human: float | None
    agrees: bool | None
    failure: str | None


@dataclass(frozen=True)
class Choices:
    """What can be chosen in the filter."""

    folders: tuple[str, ...]
    parts: tuple[str, ...]
    cohorts: tuple[str, ...]
    judges: tuple[str, ...]
    failures: tuple[str, ...]


_SELECT = (
    "SELECT rows.id, folder, part, line, start, path, name, cohort, judge, p_a, disagreement, flipped, human, agrees, "
    "failure FROM rows JOIN sources ON sources.id = rows.source"
)


def count(index: Index, wanted: Filter) -> int:
    """How many rows a filter finds."""
    where, values = wanted.clauses()
    query = f"SELECT count(*) FROM rows JOIN sources ON sources.id = rows.source WHERE {where}"
    return int(_all(index, query, values)[0][0])


def page_of(index: Index, wanted: Filter, page: int) -> list[Found]:
    """One page of what a filter finds, counted from 1."""
    where, values = wanted.clauses()
    order = SORTS[wanted.sort][1]
    query = f"{_SELECT} WHERE {where} ORDER BY {order} LIMIT {PAGE} OFFSET ?"
    return [_found(record) for record in _all(index, query, [*values, PAGE * (max(page, 1) - 1)])]


def find(index: Index, folder: str, part: str, line: int) -> Found | None:
    """The row on a line of a file; None if it is not indexed."""
    records = _all(index, f"{_SELECT} WHERE folder = ? AND part = ? AND line = ?", [folder, part, line])
    return _found(records[0]) if records else None


def neighbours(index: Index, wanted: Filter, row: Found) -> tuple[Found | None, Found | None]:
    """The rows before and after a row within a filter, in its order."""
    where, values = wanted.clauses()
    order = SORTS[wanted.sort][1]
    query = (
        f"WITH found AS (SELECT rows.id, lag(rows.id) OVER w AS before, lead(rows.id) OVER w AS after FROM rows "
        f"JOIN sources ON sources.id = rows.source WHERE {where} WINDOW w AS (ORDER BY {order})) "
        "SELECT before, after FROM found WHERE id = ?"
    )
    records = _all(index, query, [*values, row.id])
    if not records:
        return None, None
    before, after = records[0]
    return _by_id(index, before), _by_id(index, after)


def every(index: Index, wanted: Filter) -> Iterator[Found]:
    """All rows that a filter finds, one at a time."""
    where, values = wanted.clauses()
    connection = index.connect()
    try:
        for record in connection.execute(f"{_SELECT} WHERE {where} ORDER BY {SORTS[wanted.sort][1]}", values):
            yield _found(record)
    finally:
        connection.close()


def choices(index: Index) -> Choices:
    """What can be chosen in the filter, from the rows that are indexed."""

    def of(column: str, table: str = "rows") -> tuple[str, ...]:
        query = f"SELECT DISTINCT {column} FROM {table} WHERE {column} IS NOT NULL ORDER BY 1 LIMIT 200"
        return tuple(str(record[0]) for record in _all(index, query, []))

    return Choices(of("folder", "sources"), of("part", "sources"), of("cohort"), of("judge"), of("failure"))


def match_query(words: str) -> str | None:
    """Words as a query of FTS5, in which no character has a meaning of its own; None if there is no word."""
    found = re.findall(r"\w+", words)
    return " AND ".join(f'"{word}"*' for word in found) or None


def _by_id(index: Index, number: int | None) -> Found | None:
    records = [] if number is None else _all(index, f"{_SELECT} WHERE rows.id = ?", [number])
    return _found(records[0]) if records else None


def _all(index: Index, query: str, values: list[Any]) -> list[sqlite3.Row]:
    connection = index.connect()
    try:
        return connection.execute(query, values).fetchall()
    finally:
        connection.close()


def _found(record: sqlite3.Row) -> Found:
    given = dict(record)
    for name in ("flipped", "agrees"):
        given[name] = None if given[name] is None else bool(given[name])
    return Found(**given)


def _number(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None
