"""Queues: rows that people rate, with what raters are told and how many of them rate each row."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from preceptor.core.errors import UsageError
from preceptor.core.hashing import canonical_json
from preceptor.core.types import Frozen, JsonObject
from preceptor.studio.database import Database, Record, now

Kind = Literal["compare", "rank"]
_LONGEST_NAME = 80


class Guidelines(Frozen):
    """What raters are told: a constitution in the words that serve people."""

    title: str = ""
    summary: str = ""
    principles: tuple[str, ...] = ()
    question: str = "Which response is better?"
    examples: tuple[JsonObject, ...] = ()
    """Each with `prompt`, `better`, `worse` and `reason`."""
    constitution_hash: str | None = None


@dataclass(frozen=True)
class NewItem:
    """A row to be rated."""

    row: JsonObject
    """As `store.for_people.question` makes it: `id`, `prompt`, `response_a` and `response_b` (or `responses`), and the
    columns of a `Selection`."""
    known: JsonObject | None = None
    """The known answer of a control row, as a rating's `answer`; it measures raters, and is never exported."""


@dataclass(frozen=True)
class Queue:
    """A queue as it stands in the database."""

    id: int
    name: str
    kind: Kind
    source: str
    """Where the rows are from and how they were chosen, in words."""
    folder: str | None
    """The folder that the rows are from; None for rows of an uploaded file."""
    guidelines: Guidelines
    raters_per_row: int
    repeat_share: float
    seed: int
    created_at: str
    closed: bool

    @classmethod
    def read(cls, record: Record) -> "Queue":
        """The queue of a record of the table `queues`."""
        return cls(
            id=record["id"],
            name=record["name"],
            kind=record["kind"],
            source=record["source"],
            folder=record["folder"],
            guidelines=Guidelines.model_validate_json(record["guidelines"]),
            raters_per_row=record["raters_per_row"],
            repeat_share=record["repeat_share"],
            seed=record["seed"],
            created_at=record["created_at"],
            closed=record["closed_at"] is not None,
        )


@dataclass(frozen=True)
class Progress:
    """How far a queue is."""

    rows: int
    """Rows without control rows."""
    done: int
    """Rows rated by as many people as the queue asks for; "cannot tell" counts, a skipped row does not."""
    ratings: int
    """Ratings of all rows, control rows and repeated ones included."""


def create(
    people: Database,
    name: str,
    kind: Kind,
    items: Sequence[NewItem],
    *,
    source: str,
    guidelines: Guidelines,
    folder: str | None = None,
    raters_per_row: int = 1,
    repeat_share: float = 0.0,
    seed: int = 0,
) -> Queue:
    """Makes a queue of these rows, in this order.

    Args:
        source: where the rows are from and how they were chosen, in words.
        folder: the folder that they are from, if it is one.
        repeat_share: share of the rows that a rater gets a second time, between 0 and 0.5.

    Raises: UsageError for a name that is taken, no rows, or a number out of bounds.
    """
    name = " ".join(name.split())
    if not name or len(name) > _LONGEST_NAME:
        raise UsageError(f"a queue's name has 1 to {_LONGEST_NAME} characters")
    if not any(item.known is None for item in items):
        raise UsageError(f"{source}: holds no row to rate")
    if not 1 <= raters_per_row <= 100 or not 0.0 <= repeat_share <= 0.5:
        raise UsageError("expected 1 to 100 raters for each row, and a share of repeated rows from 0 to 0.5")
    if not 0 <= seed < 2**63:
        raise UsageError(f"seed {seed}: expected a number from 0 to 2^63 - 1")
    with people.transaction():
        if people.one("SELECT id FROM queues WHERE name = ?", name):
            raise UsageError(f'a queue named "{name}" exists; choose another name')
        queue = people.write(
            "INSERT INTO queues "
            "(name, kind, source, folder, guidelines, raters_per_row, repeat_share, seed, created_at) "
            "VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
            name, kind, source, folder, guidelines.model_dump_json(), raters_per_row, repeat_share, seed, now(),
        )  # fmt: skip
        add(people, queue, items)
    made = find(people, queue)
    assert made is not None
    return made


def add(people: Database, queue: int, items: Sequence[NewItem]) -> None:
    """Adds rows behind those of a queue."""
    with people.transaction():
        record = people.one("SELECT coalesce(max(number) + 1, 0) AS next FROM items WHERE queue = ?", queue)
        assert record is not None
        for number, item in enumerate(items, start=record["next"]):
            known = None if item.known is None else canonical_json(item.known)
            people.write(
                "INSERT INTO items (queue, number, row, known) VALUES (?, ?, ?, ?)",
                queue, number, json.dumps(item.row, ensure_ascii=False), known,
            )  # fmt: skip


def queues(people: Database) -> list[Queue]:
    """All queues, the newest first."""
    return [Queue.read(record) for record in people.all("SELECT * FROM queues ORDER BY id DESC")]


def find(people: Database, queue: int) -> Queue | None:
    """The queue with this id; None if there is none."""
    record = people.one("SELECT * FROM queues WHERE id = ?", queue)
    return None if record is None else Queue.read(record)


def close(people: Database, queue: int, *, closed: bool = True) -> None:
    """Ends a queue, so that nobody gets another row of it, or opens it again."""
    people.write("UPDATE queues SET closed_at = ? WHERE id = ?", now() if closed else None, queue)


def progress(people: Database, queue: Queue) -> Progress:
    """How far a queue is."""
    given = (
        "SELECT count(*) FROM assignments JOIN ratings ON assignment = assignments.id "
        "WHERE item = items.id AND NOT repeat AND undone_at IS NULL AND json_extract(answer, '$.choice') IS NOT 'skip'"
    )
    counts = people.one(
        f"SELECT count(*) AS rows, total(({given}) >= ?) AS done FROM items WHERE queue = ? AND known IS NULL",
        queue.raters_per_row, queue.id,
    )  # fmt: skip
    ratings = people.one(
        "SELECT count(*) AS n FROM ratings JOIN assignments ON assignments.id = assignment "
        "JOIN items ON items.id = item WHERE queue = ? AND undone_at IS NULL",
        queue.id,
    )
    assert counts is not None
    assert ratings is not None
    return Progress(counts["rows"], int(counts["done"]), ratings["n"])
