"""Looks rows up in the index: a page of them, how many there are, one by its address, its neighbours."""

import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any

from preceptor.core.errors import UsageError
from preceptor.core.types import JsonObject
from preceptor.store.rows import Row
from preceptor.studio.folders import Library
from preceptor.studio.rows.entries import AnyRow, ScoredRow, row_name
from preceptor.studio.rows.files import RowFile, read_whole, row_at
from preceptor.studio.rows.filters import Filter

PAGE = 50
"""Rows on one page."""
MOST_CHOICES = 300
"""Cohorts or judges that a filter offers."""
MOST_SAME = 200
"""Rows of one id in a folder that are read."""
_BATCH = 500
_SELECT = (
    "SELECT rows.*, folder, files.place AS file_place, rows.place & 1099511627775 AS line, "
    "(SELECT name FROM names WHERE names.id = cohort) AS cohort_name, "
    "(SELECT name FROM names WHERE names.id = judge) AS judge_name, "
    "(SELECT name FROM names WHERE names.id = reason) AS reason_name "
    "FROM rows JOIN files ON files.id = file "
)


@dataclass(frozen=True)
class IndexedRow:
    """A row as the index knows it."""

    id: int
    """In the index; another one after the index was built anew."""
    folder: str
    file: str
    """Its file's path within the folder."""
    line: int
    """Position in the file, counted from 0."""
    start: int
    bytes: int
    row_id: str
    kind: str
    cohort: str | None
    judge: str | None
    reason: str | None
    p: float | None
    disagreement: float | None
    length: int | None
    difference: int | None
    flip: bool | None
    people: int | None
    score: float | None
    steps: int
    compared: int | None
    """`entries.comparison_key` of what was judged."""

    @property
    def address(self) -> dict[str, str | int]:
        """What names the row for good, as parameters of a page's address."""
        named: dict[str, str | int] = {"of": self.folder, "id": self.row_id}
        return named if self.file == "preferences.jsonl" else named | {"file": self.file, "line": self.line}

    @property
    def measurement(self) -> str:
        """The name of the file of a score, such as "step-000010" or "best_of_n"."""
        return PurePosixPath(self.file).stem


@dataclass(frozen=True)
class Page:
    """Rows that stand on one page."""

    rows: Sequence[IndexedRow]
    number: int
    """Counted from 1."""
    total: int
    """Rows on all pages."""

    @property
    def pages(self) -> int:
        """How many pages there are; one where there is no row."""
        return max(1, -(-self.total // PAGE))


@dataclass(frozen=True)
class Choices:
    """What the fields of a filter offer."""

    folders: Sequence[str]
    cohorts: Sequence[str]
    judges: Sequence[str]
    reasons: Sequence[str]


def page(index: sqlite3.Connection, chosen: Filter, number: int) -> Page:
    """A page of rows; the last one if there are not so many."""
    if chosen.words:  # a search is made once for both
        records = _ids(index, chosen, number, "count(*) OVER ()")
        if records:
            return Page(_by_ids(index, [id_ for id_, _ in records]), number, int(records[0][1]))
    total = _count(index, chosen)
    number = min(number, max(1, -(-total // PAGE)))
    return Page(_by_ids(index, [id_ for id_, _ in _ids(index, chosen, number, "0")]), number, total)


def _count(index: sqlite3.Connection, chosen: Filter) -> int:
    condition = chosen.condition()
    [(rows,)] = index.execute(f"SELECT count(*) FROM rows WHERE {condition.sql}", condition.values)
    return int(rows)


def _ids(index: sqlite3.Connection, chosen: Filter, number: int, beside: str) -> list[tuple[int, int]]:
    """The rows on a page, each with the value of an expression."""
    condition, (key, way) = chosen.condition(), chosen.order
    query = f"SELECT id, {beside} FROM rows WHERE {condition.sql} ORDER BY {key} {way}, place {way} LIMIT ? OFFSET ?"
    return [(id_, value) for id_, value in index.execute(query, [*condition.values, PAGE, PAGE * (number - 1)])]


def batches(index: sqlite3.Connection, chosen: Filter) -> Iterator[list[IndexedRow]]:
    """All rows of a filter in its order, a few hundred at a time."""
    condition, (key, way) = chosen.condition(), chosen.order
    cursor = index.execute(
        f"SELECT id FROM rows WHERE {condition.sql} ORDER BY {key} {way}, place {way}", condition.values
    )
    while ids := [id_ for (id_,) in cursor.fetchmany(_BATCH)]:
        yield _by_ids(index, ids)


def find(index: sqlite3.Connection, folder: str, row_id: str) -> list[IndexedRow]:
    """The rows of an id in a folder, as they were written. An audit has one for each judge."""
    return _read(
        index, f"{_SELECT} WHERE folder = ? AND row_id = ? ORDER BY rows.place LIMIT ?", [folder, row_id, MOST_SAME]
    )


def neighbours(
    index: sqlite3.Connection, chosen: Filter, row: IndexedRow
) -> tuple[IndexedRow | None, IndexedRow | None]:
    """The rows before and after one in the order of a filter; the row itself need not be in it."""
    condition, (key, way) = chosen.condition(), chosen.order
    [(value, place)] = index.execute(f"SELECT {key}, place FROM rows WHERE id = ?", [row.id])
    found: list[IndexedRow | None] = []
    for after in (False, True):
        up = after == (way == "ASC")
        beside = index.execute(
            f"SELECT id FROM rows WHERE {condition.sql} AND ({key}, place) {'>' if up else '<'} (?, ?) "
            f"ORDER BY {key} {'ASC' if up else 'DESC'}, place {'ASC' if up else 'DESC'} LIMIT 1",
            [*condition.values, value, place],
        ).fetchone()
        found.append(None if beside is None else _by_ids(index, [beside[0]])[0])
    return found[0], found[1]


def choices(index: sqlite3.Connection) -> Choices:
    """What a filter can choose among."""
    folders = [name for (name,) in index.execute("SELECT DISTINCT folder FROM files ORDER BY folder")]
    named = [
        [name for (name,) in index.execute(_NAMES.format(column), [MOST_CHOICES])]
        for column in ("cohort", "judge", "reason")
    ]
    return Choices(folders, *named)


_NAMES = "SELECT name FROM names WHERE id IN (SELECT DISTINCT {} FROM rows) ORDER BY name LIMIT ?"


def content(library: Library, row: IndexedRow) -> tuple[AnyRow, Row]:
    """The row itself, from its file, and as it stands there.

    Raises: UsageError if it is not there any more.
    """
    read, raw = row_at(_file(library, row), row.start, row.bytes)
    if row_name(read) != row.row_id:
        raise UsageError(f"{row.folder}/{row.file}: another row is there now; load the page again in a few seconds")
    return read, raw


def contents(library: Library, rows: Sequence[IndexedRow]) -> dict[int, AnyRow]:
    """The rows themselves, by their id in the index; those that are not there any more are left out."""
    by_id: dict[int, AnyRow] = {}
    whole: dict[RowFile, tuple[ScoredRow, ...]] = {}
    for row in rows:
        with suppress(UsageError, OSError, IndexError):
            if row.bytes:
                by_id[row.id] = content(library, row)[0]
                continue
            file = _file(library, row)
            if file not in whole:
                whole = {file: read_whole(file)}
            by_id[row.id] = whole[file][row.start]
    return by_id


def wire(row: AnyRow) -> JsonObject:
    """The row as it is written."""
    return row.model_dump(mode="json") if isinstance(row, ScoredRow) else row.wire()


def _file(library: Library, row: IndexedRow) -> RowFile:
    work = library.find(row.folder)
    if work is None:
        raise UsageError(f"{row.folder}: this folder is not here any more")
    return RowFile(work, row.file)


def _by_ids(index: sqlite3.Connection, ids: Sequence[int]) -> list[IndexedRow]:
    """The rows with these ids, in their order."""
    marks = ",".join("?" * len(ids))
    by_id = {row.id: row for row in _read(index, f"{_SELECT} WHERE rows.id IN ({marks})", ids)}
    return [by_id[id_] for id_ in ids if id_ in by_id]


def _read(index: sqlite3.Connection, query: str, values: Sequence[Any]) -> list[IndexedRow]:
    return [
        IndexedRow(
            id=row["id"], folder=row["folder"], file=row["file_place"], line=row["line"], start=row["start"],
            bytes=row["bytes"], row_id=row["row_id"], kind=row["kind"], cohort=row["cohort_name"],
            judge=row["judge_name"], reason=row["reason_name"], p=row["p"], disagreement=row["disagreement"],
            length=row["length"], difference=row["difference"],
            flip=None if row["flip"] is None else bool(row["flip"]),
            people=row["people"], score=row["score"], steps=row["steps"], compared=row["compared"],
        )
        for row in index.execute(query, values)
    ]  # fmt: skip
