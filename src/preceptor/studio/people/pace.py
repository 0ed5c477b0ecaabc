"""How fast a rater works, and how much is left for them."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import pairwise
from statistics import fmean

from preceptor.studio.database import Database
from preceptor.studio.people.assign import RESERVED, Assignment, rows_left
from preceptor.studio.people.queues import Queue

BREAK_S = 300.0
"""Seconds between two ratings that count as a break and not as work."""
_RECENT = 20
"""Ratings that the pace is taken from."""
_LEAST = 3


@dataclass(frozen=True)
class Pace:
    """A rater's progress in a queue."""

    rated: int
    """Rows that they have rated, repeated and control rows included."""
    left: int
    """Rows that are left for them if nobody else rates any."""
    seconds_per_row: float | None
    """None after too few ratings."""

    @property
    def minutes_left(self) -> float | None:
        """About how long the rows that are left take; None after too few ratings."""
        return None if self.seconds_per_row is None else self.left * self.seconds_per_row / 60


def pace(people: Database, queue: Queue, rater: int) -> Pace:
    """How fast a rater works in a queue, breaks left out."""
    records = people.all(
        "SELECT ratings.created_at FROM ratings JOIN assignments ON assignments.id = assignment "
        "JOIN items ON items.id = item WHERE queue = ? AND rater = ? AND undone_at IS NULL ORDER BY ratings.id",
        queue.id, rater,
    )  # fmt: skip
    times = [datetime.fromisoformat(record["created_at"]) for record in records]
    return Pace(len(times), rows_left(people, queue, rater), seconds_per_row(times))


def seconds_per_row(times: Sequence[datetime]) -> float | None:
    """Mean seconds between the latest ratings; gaps that are breaks are left out. None if there are too few."""
    gaps = [(later - earlier).total_seconds() for earlier, later in pairwise(times)]
    worked = [gap for gap in gaps if gap <= BREAK_S][-_RECENT:]
    return fmean(worked) if len(worked) >= _LEAST else None


def seconds_shown(assignment: Assignment) -> float:
    """Seconds since the row was last shown to its rater: a showing renews the reservation."""
    shown = datetime.fromisoformat(assignment.reserved_until) - RESERVED
    return max(0.0, (datetime.now(UTC) - shown).total_seconds())
