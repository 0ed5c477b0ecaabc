"""What people said about rows in the studio's queues."""

import json
import sqlite3
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import combinations
from threading import Lock
from typing import Any

from preceptor.studio.database import Database
from preceptor.studio.people.opinions import Opinion, Pair, opinions_of
from preceptor.studio.people.ratings import Answer, read_answer
from preceptor.studio.people.shown import as_messages
from preceptor.studio.rows.entries import AGREES, DIFFERS, UNDECIDED, comparison_key


@dataclass(frozen=True)
class AnswerOnRow:
    """One person's answer about a row."""

    queue: int
    queue_name: str
    item: int
    name: str
    """The rater's."""
    answer: Answer
    reason: str
    at: str


def answers_on(people: Database, row_id: str) -> list[AnswerOnRow]:
    """All answers about rows of this id in any queue, the earliest first; answers that were taken back are left out."""
    records = people.all(
        "SELECT queues.id AS queue, queues.name AS queue_name, items.id AS item, raters.name, answer, reason, "
        "ratings.created_at AS at FROM items JOIN queues ON queues.id = queue "
        "JOIN assignments ON item = items.id JOIN ratings ON assignment = assignments.id "
        "JOIN raters ON raters.id = rater "
        "WHERE json_extract(items.row, '$.id') = ? AND undone_at IS NULL ORDER BY ratings.id",
        row_id,
    )
    return [
        AnswerOnRow(
            queue=record["queue"],
            queue_name=record["queue_name"],
            item=record["item"],
            name=record["name"],
            answer=read_answer(record["answer"]),
            reason=record["reason"],
            at=record["at"],
        )
        for record in records
    ]


class RatedRows:
    """What most raters prefer of every comparison that was rated, in all queues together. Remembered until somebody
    rates again; repeated ratings and those of rows with known answers are left out.
    """

    def __init__(self, people: Database) -> None:
        self._people = people
        self._lock = Lock()
        self._seen = -1
        self._majorities: Mapping[int, int] = {}
        self._keys: dict[int, dict[Pair, tuple[int, int]]] = {}
        """Of each item's pairs, the keys with the first and with the second response as the better one."""

    def majorities(self) -> Mapping[int, int]:
        """`AGREES`, `DIFFERS` or `UNDECIDED`, by the `comparison_key` of what a judge may have chosen."""
        with self._lock:
            changes = self._people.changes
            if changes != self._seen:
                self._majorities, self._seen = self._counted(), changes
            return self._majorities

    def attach(self, index: sqlite3.Connection) -> None:
        """Makes the table `temp.rated` for conditions of a filter."""
        index.execute("CREATE TEMP TABLE rated (compared INTEGER PRIMARY KEY, people INTEGER NOT NULL)")
        index.executemany("INSERT INTO temp.rated VALUES (?, ?)", self.majorities().items())

    def _counted(self) -> Mapping[int, int]:
        votes: dict[tuple[int, int], Counter[Opinion]] = {}
        for record in self._people.all(
            "SELECT item, answer FROM ratings JOIN assignments ON assignments.id = assignment "
            "JOIN items ON items.id = item WHERE undone_at IS NULL AND repeat = 0 AND known IS NULL"
        ):
            for pair, opinion in opinions_of(read_answer(record["answer"])).items():
                first, second = self._keys_of(record["item"])[pair]
                if first < second:
                    votes.setdefault((first, second), Counter())[opinion] += 1
                else:  # the same pair may be the other way round in another queue
                    votes.setdefault((second, first), Counter())[_SWAPPED[opinion]] += 1
        found: dict[int, int] = {}
        for (first, second), counted in votes.items():
            found[first] = _against(counted["a"], counted["b"], counted["tie"])
            found[second] = _against(counted["b"], counted["a"], counted["tie"])
        return found

    def _keys_of(self, item: int) -> Mapping[Pair, tuple[int, int]]:
        if item not in self._keys:
            record = self._people.one("SELECT row FROM items WHERE id = ?", item)
            assert record is not None
            self._keys[item] = _keys(json.loads(record["row"]))
        return self._keys[item]


_SWAPPED: dict[Opinion, Opinion] = {"a": "b", "b": "a", "tie": "tie"}


def _keys(row: Mapping[str, Any]) -> dict[Pair, tuple[int, int]]:
    given: Any = row.get("responses")
    listed = given if isinstance(given, list) else [row.get("response_a"), row.get("response_b")]
    prompt = as_messages(row.get("prompt", row.get("conversation")), "user")
    responses = [as_messages(response, "assistant") for response in listed]
    return {
        (i, j): (
            comparison_key(prompt, responses[i], responses[j]),
            comparison_key(prompt, responses[j], responses[i]),
        )
        for i, j in combinations(range(len(responses)), 2)
    }


def _against(chosen: int, rejected: int, ties: int) -> int:
    """Whether most people prefer what a judge chose."""
    if chosen > max(rejected, ties):
        return AGREES
    return DIFFERS if rejected > max(chosen, ties) else UNDECIDED
