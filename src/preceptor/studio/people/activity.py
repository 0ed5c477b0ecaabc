"""Who rated how much, and how fast."""

from dataclasses import dataclass
from statistics import median

from preceptor.studio.database import Database
from preceptor.studio.people.raters import raters


@dataclass(frozen=True)
class InQueue:
    """A queue in which somebody rated."""

    id: int
    name: str
    ratings: int


@dataclass(frozen=True)
class Activity:
    """What one rater did in all queues; control rows and repeated ones included."""

    id: int
    name: str
    owner: bool
    state: str
    """`active`; `revoked`; or `no link`, for somebody whose answers were imported from another tool."""
    ratings: int
    seconds: float | None
    """Median seconds for a rating."""
    last: str | None
    """When they last rated, in UTC."""
    queues: tuple[InQueue, ...]


def activity(people: Database) -> list[Activity]:
    """What every rater did, the owner first."""
    seconds: dict[int, list[float]] = {}
    last: dict[int, str] = {}
    for record in people.all(
        "SELECT rater, seconds, ratings.created_at AS at FROM ratings JOIN assignments ON assignments.id = assignment "
        "WHERE undone_at IS NULL ORDER BY ratings.id"
    ):
        if record["seconds"] is not None:
            seconds.setdefault(record["rater"], []).append(record["seconds"])
        last[record["rater"]] = record["at"]
    return [
        Activity(
            id=record["id"],
            name=record["name"],
            owner=bool(record["owner"]),
            state="revoked" if record["revoked_at"] else "active" if record["token_hash"] else "no link",
            ratings=record["ratings"],
            seconds=median(seconds[record["id"]]) if record["id"] in seconds else None,
            last=last.get(record["id"]),
            queues=_queues(people, record["id"]),
        )
        for record in raters(people)
    ]


def _queues(people: Database, rater: int) -> tuple[InQueue, ...]:
    records = people.all(
        "SELECT queues.id, queues.name, count(*) AS n FROM ratings JOIN assignments ON assignments.id = assignment "
        "JOIN items ON items.id = item JOIN queues ON queues.id = queue "
        "WHERE rater = ? AND undone_at IS NULL GROUP BY queues.id ORDER BY queues.id DESC",
        rater,
    )
    return tuple(InQueue(record["id"], record["name"], record["n"]) for record in records)
