"""Everything that people said in a queue, read at once: what exports, measures and pages are made from."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import combinations
from typing import Literal

from preceptor.core.types import JsonObject
from preceptor.studio.database import Database, Record
from preceptor.studio.people.queues import Queue
from preceptor.studio.people.ratings import Answer, Ranking, read_answer

Opinion = Literal["a", "b", "tie"]
Pair = tuple[int, int]
"""Positions of two responses of a row."""


@dataclass(frozen=True)
class Item:
    """A row of a queue."""

    id: int
    number: int
    row: JsonObject
    known: Answer | None
    """The known answer of a control row."""
    asked: bool
    """Whether anybody was asked about it."""


@dataclass(frozen=True)
class Rating:
    """One rating."""

    id: int
    item: int
    rater: int
    name: str
    """The rater's."""
    repeat: bool
    """Whether the rater had rated the row before."""
    answer: Answer
    reason: str
    confidence: int | None
    flagged: bool
    seconds: float | None
    at: str


@dataclass(frozen=True)
class Opinions:
    """The rows of a queue and all ratings of them."""

    queue: Queue
    items: Mapping[int, Item]
    """By id, in the order of the queue; control rows included."""
    ratings: tuple[Rating, ...]
    """In the order of the raters, and of each rater's ratings in time; repeated and control rows included."""

    def of_rows(self) -> Iterator[tuple[Item, list[Rating]]]:
        """The rows that are not control rows, each with its ratings, without repeated ones."""
        by_item: dict[int, list[Rating]] = {}
        for rating in self.ratings:
            if not rating.repeat:
                by_item.setdefault(rating.item, []).append(rating)
        return ((item, by_item.get(item.id, [])) for item in self.items.values() if item.known is None)


def opinions(people: Database, queue: Queue) -> Opinions:
    """What people said in a queue so far; undone ratings are left out."""
    items = people.all(
        "SELECT id, number, row, known, EXISTS (SELECT 1 FROM assignments WHERE item = items.id) AS asked "
        "FROM items WHERE queue = ? ORDER BY number",
        queue.id,
    )
    ratings = people.all(
        "SELECT ratings.*, item, rater, repeat, name FROM ratings JOIN assignments ON assignments.id = assignment "
        "JOIN items ON items.id = item JOIN raters ON raters.id = rater "
        "WHERE queue = ? AND undone_at IS NULL ORDER BY rater, ratings.id",
        queue.id,
    )
    return Opinions(queue, {record["id"]: _item(record) for record in items}, tuple(map(_said, ratings)))


def opinions_of(answer: Answer) -> dict[Pair, Opinion]:
    """An answer as opinions on pairs of responses: one pair for a choice, every pair for a ranking, none if the rater
    could not tell or skipped the row.
    """
    if isinstance(answer, Ranking):
        return {(i, j): _better(answer.ranks[i], answer.ranks[j]) for i, j in combinations(range(len(answer.ranks)), 2)}
    return {(0, 1): answer.choice} if answer.choice in ("a", "b", "tie") else {}


def _better(rank: int, other: int) -> Opinion:
    return "a" if rank < other else "b" if rank > other else "tie"


def _item(record: Record) -> Item:
    known = None if record["known"] is None else read_answer(record["known"])
    return Item(record["id"], record["number"], json.loads(record["row"]), known, bool(record["asked"]))


def _said(record: Record) -> Rating:
    return Rating(
        id=record["id"],
        item=record["item"],
        rater=record["rater"],
        name=record["name"],
        repeat=bool(record["repeat"]),
        answer=read_answer(record["answer"]),
        reason=record["reason"],
        confidence=record["confidence"],
        flagged=bool(record["flagged"]),
        seconds=record["seconds"],
        at=record["created_at"],
    )
