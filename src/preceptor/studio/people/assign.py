"""Who rates which row: a rater gets a row once, and perhaps a second time to measure their consistency; a row is
reserved for its rater for a while.
"""

import json
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from preceptor.core.hashing import content_hash, unit_hash
from preceptor.core.types import JsonObject
from preceptor.studio.database import Database, Record, now, stamp
from preceptor.studio.people.queues import Queue

RESERVED = timedelta(minutes=30)
"""How long a row is kept for a rater. A rating that comes later still counts, even if the row was given on."""
_REPEAT_AFTER = 5
"""Other rows that a rater rates before one is repeated."""
CONTROL_EVERY = 10
"""A rater gets a control row, if one is left, as every tenth row."""


@dataclass(frozen=True)
class Assignment:
    """A row that a rater is asked about."""

    id: int
    rater: int
    queue: int
    row: JsonObject
    repeat: bool
    order: tuple[int, ...]
    """Positions of the row's responses in the order of the screen."""
    reserved_until: str = field(compare=False)
    """UTC. Showing the row renews it."""


def next_row(people: Database, queue: Queue, rater: int) -> Assignment | None:
    """The row that a rater rates next: the one that they have open, a control row or a repeated row if one is due, or
    the first row that fewer people than asked for have rated or hold. It is reserved for them.

    Returns: None if nothing is left for them, or the queue is closed.
    """
    if queue.closed:
        return None
    with people.transaction():
        opened = _opened(people, queue, rater)
        if opened is not None:
            people.write("UPDATE assignments SET reserved_until = ? WHERE id = ?", _until(), opened)
            return find(people, opened)
        given = _given(people, queue, rater)
        item, repeat = _control(people, queue, rater, given), False
        if item is None:
            item = _repeated(people, queue, rater)
            repeat = item is not None
        if item is None:
            item = _unfilled(people, queue, rater)
        if item is None:
            return None
        return find(people, _reserve(people, item, rater, repeat=repeat))


def rows_left(people: Database, queue: Queue, rater: int) -> int:
    """Rows that a rater could still get, one that they have open included; repeated and control rows are left out."""
    record = people.one(
        f"SELECT count(*) AS n FROM items WHERE queue = ? AND known IS NULL AND ({_NEVER_THEIRS} OR {_OPEN}) "
        f"AND ({_HOLDERS}) < ?",
        queue.id, rater, rater, now(), rater, queue.raters_per_row,
    )  # fmt: skip
    return 0 if record is None else record["n"]


def find(people: Database, assignment: int) -> Assignment | None:
    """The assignment with this id; None if there is none."""
    record = people.one(
        "SELECT assignments.*, items.row, items.number, queues.id AS queue, queues.seed FROM assignments "
        "JOIN items ON items.id = item JOIN queues ON queues.id = items.queue WHERE assignments.id = ?",
        assignment,
    )
    if record is None:
        return None
    row: JsonObject = json.loads(record["row"])
    repeat = bool(record["repeat"])
    order = screen_order(_count(row), record["seed"], record["item"], record["rater"], repeat=repeat)
    return Assignment(record["id"], record["rater"], record["queue"], row, repeat, order, record["reserved_until"])


def screen_order(count: int, seed: int, item: int, rater: int, *, repeat: bool) -> tuple[int, ...]:
    """The order in which a rater sees the responses of a row: by a hash, and reversed when the row is repeated."""
    order = sorted(range(count), key=lambda position: content_hash([seed, item, rater, position]))
    return tuple(reversed(order)) if repeat else tuple(order)


def _count(row: JsonObject) -> int:
    responses = row.get("responses")
    return len(responses) if isinstance(responses, list) else 2


def _opened(people: Database, queue: Queue, rater: int) -> int | None:
    """An assignment of the rater without a rating, whose reservation holds or whose row is not filled by others."""
    records = people.all(
        f"SELECT assignments.id, reserved_until, repeat, known, ({_HOLDERS}) AS holders FROM assignments "
        "JOIN items ON items.id = item WHERE queue = ? AND rater = ? AND NOT EXISTS (SELECT 1 FROM ratings "
        "WHERE assignment = assignments.id AND undone_at IS NULL) ORDER BY assignments.id",
        now(), rater, queue.id, rater,
    )  # fmt: skip
    for record in records:
        filled = record["holders"] >= queue.raters_per_row and not record["repeat"] and record["known"] is None
        if record["reserved_until"] > now() or not filled:
            return record["id"]
    return None


_HOLDERS = (
    "SELECT count(*) FROM assignments AS others LEFT JOIN ratings ON assignment = others.id AND undone_at IS NULL "
    "WHERE others.item = items.id AND NOT others.repeat "
    "AND (CASE WHEN ratings.id IS NULL THEN others.reserved_until > ? "
    "ELSE json_extract(answer, '$.choice') IS NOT 'skip' END) AND others.rater IS NOT ?"
)
"""How many people other than one rater have rated a row or hold it. Values: the time now, the rater."""
_OPEN = (
    "EXISTS (SELECT 1 FROM assignments WHERE item = items.id AND rater = ? AND NOT repeat AND NOT EXISTS "
    "(SELECT 1 FROM ratings WHERE assignment = assignments.id AND undone_at IS NULL))"
)
_NEVER_THEIRS = "NOT EXISTS (SELECT 1 FROM assignments WHERE item = items.id AND rater = ? AND NOT repeat)"


def _unfilled(people: Database, queue: Queue, rater: int) -> int | None:
    record = people.one(
        f"SELECT id FROM items WHERE queue = ? AND known IS NULL AND {_NEVER_THEIRS} AND ({_HOLDERS}) < ? "
        "ORDER BY number LIMIT 1",
        queue.id, rater, now(), rater, queue.raters_per_row,
    )  # fmt: skip
    return None if record is None else record["id"]


def _given(people: Database, queue: Queue, rater: int) -> list[Record]:
    """The rows that a rater has rated, in the order in which they did; repeated and control rows are left out."""
    return people.all(
        "SELECT items.id, items.number FROM ratings JOIN assignments ON assignments.id = assignment "
        "JOIN items ON items.id = item WHERE queue = ? AND rater = ? AND NOT repeat AND known IS NULL "
        "AND undone_at IS NULL ORDER BY ratings.id",
        queue.id, rater,
    )  # fmt: skip


def _control(people: Database, queue: Queue, rater: int, given: list[Record]) -> int | None:
    """A control row, if one is due."""
    answered = people.one(
        "SELECT count(*) AS n FROM assignments JOIN items ON items.id = item "
        "WHERE queue = ? AND rater = ? AND known IS NOT NULL",
        queue.id, rater,
    )  # fmt: skip
    assert answered is not None
    if (len(given) + CONTROL_EVERY // 2) // CONTROL_EVERY <= answered["n"]:
        return None
    record = people.one(
        f"SELECT id FROM items WHERE queue = ? AND known IS NOT NULL AND {_NEVER_THEIRS} ORDER BY number LIMIT 1",
        queue.id, rater,
    )  # fmt: skip
    return None if record is None else record["id"]


def _repeated(people: Database, queue: Queue, rater: int) -> int | None:
    """A row that the rater has rated some time ago and was drawn to be repeated."""
    if not queue.repeat_share:
        return None
    for record in _given(people, queue, rater)[:-_REPEAT_AFTER]:
        drawn = unit_hash("repeat", queue.seed, record["id"], rater) < queue.repeat_share
        if drawn and not people.one(
            "SELECT 1 FROM assignments WHERE item = ? AND rater = ? AND repeat", record["id"], rater
        ):
            return record["id"]
    return None


def _reserve(people: Database, item: int, rater: int, *, repeat: bool) -> int:
    return people.write(
        "INSERT INTO assignments (item, rater, repeat, reserved_until, created_at) VALUES (?, ?, ?, ?, ?)",
        item, rater, int(repeat), _until(), now(),
    )  # fmt: skip


def _until() -> str:
    return stamp(datetime.now(UTC) + RESERVED)
