"""What people said about a row in the studio's queues."""

from dataclasses import dataclass

from preceptor.studio.database import Database
from preceptor.studio.people.ratings import Answer, read_answer


@dataclass(frozen=True)
class SaidOfRow:
    """One person's answer about a row."""

    queue: int
    queue_name: str
    item: int
    name: str
    """The rater's."""
    answer: Answer
    reason: str
    at: str


def said_of(people: Database, row_id: str) -> list[SaidOfRow]:
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
        SaidOfRow(
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
