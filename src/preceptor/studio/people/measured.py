"""Remembers how far people agree in a queue until somebody rates again or a judge labels more."""

from dataclasses import dataclass
from threading import Lock

from preceptor.studio.database import Database
from preceptor.studio.folders import Library
from preceptor.studio.people.judged import Judges
from preceptor.studio.people.opinions import Opinions, opinions
from preceptor.studio.people.quality import QueueQuality, measure
from preceptor.studio.people.queues import Queue


@dataclass(frozen=True)
class Measured:
    """What people said in a queue, and how far they agree."""

    said: Opinions
    quality: QueueQuality
    mark: str
    """Another one after every change."""


class Measurements:
    """The measurements of all queues; one is made at a time."""

    def __init__(self, people: Database, library: Library) -> None:
        self._people = people
        self._judges = Judges(library)
        self._lock = Lock()
        self._held: dict[int, Measured] = {}

    def of(self, queue: Queue) -> Measured:
        """The measurement of a queue as it stands now."""
        with self._lock:
            state = self._state(queue)
            held = self._held.get(queue.id)
            fresh = held is not None and held.mark.startswith(f"{state}.")
            said = held.said if held is not None and fresh else opinions(self._people, queue)
            judges = self._judges.of(said)
            mark = f"{state}.{sum(len(verdicts.p_a) for verdicts in judges)}"
            if held is None or held.mark != mark:
                held = Measured(said, measure(said, judges), mark)
                self._held[queue.id] = held
            return held

    def _state(self, queue: Queue) -> str:
        counts = self._people.one(
            "SELECT count(DISTINCT items.id) AS items, count(DISTINCT assignments.id) AS asked, "
            "count(ratings.id) AS given, count(undone_at) AS undone FROM items "
            "LEFT JOIN assignments ON assignments.item = items.id LEFT JOIN ratings ON assignment = assignments.id "
            "WHERE queue = ?",
            queue.id,
        )
        assert counts is not None
        return "-".join(str(count) for count in counts)
