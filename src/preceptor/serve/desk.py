"""Items from many clients wait here for a judge's threads, in the order in which they came.

A model behind a server is asked by many threads, one item each, so that a slow answer holds up nobody else. A local
model is asked by one thread, which takes all waiting items of one kind as a batch. A client that goes away takes back
what has not begun, and abandons the rest: of that, what has been sent is answered and recorded, and nothing more is
sent.
"""

import math
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from contextlib import nullcontext
from dataclasses import dataclass, field
from itertools import count
from typing import Any, TypeAlias

from preceptor.core.abandoning import Work

Ask: TypeAlias = Callable[[Sequence[Any]], list[Any]]
"""Answers items of one kind: one result for each, in order."""
_RECENT = 256
"""Answered items from which the rate is estimated."""
_LONGEST_WAIT_S = 60


class BusyError(Exception):
    """There is no room for more items."""

    def __init__(self, wait_s: int) -> None:
        super().__init__(f"the queue is full; ask again in {wait_s} s")
        self.wait_s = wait_s
        """Seconds after which there should be room."""


@dataclass(frozen=True)
class Job:
    """An item and how it is answered."""

    ask: Ask
    item: Any
    result: "Future[Any]" = field(default_factory=Future)
    work: Work = field(default_factory=Work)

    def abandon(self) -> None:
        """Takes the item back, or tells the thread that has it."""
        if not self.result.cancel():
            self.work.abandon()


class Desk:
    """Hands items to a judge's threads.

    Args:
        threads: how many ask at the same time.
        at_once: most items that one thread takes at once.
        room: most items that may wait.
    """

    def __init__(self, threads: int, at_once: int, room: int, clock: Callable[[], float] = time.monotonic) -> None:
        self.room = room
        self.busy = 0
        """Items that are with the judge."""
        self._at_once = at_once
        self._clock = clock
        self._jobs: dict[int, Job] = {}
        self._numbers = count()
        self._changed = threading.Condition()
        self._closed = False
        self._answered: deque[float] = deque(maxlen=_RECENT)
        self._threads = [
            threading.Thread(target=self._work, name=f"preceptor-judge-{number}", daemon=True)
            for number in range(threads)
        ]
        for thread in self._threads:
            thread.start()

    @property
    def waiting(self) -> int:
        """Items that no thread has taken yet."""
        return len(self._jobs)

    def add(self, ask: Ask, items: Sequence[Any]) -> list[Job]:
        """Adds all items, or none.

        Raises: BusyError when there is not enough room.
        """
        jobs = [Job(ask, item) for item in items]
        with self._changed:
            if len(self._jobs) + len(jobs) > self.room:
                raise BusyError(self.wait_s())
            for job in jobs:
                number = next(self._numbers)
                self._jobs[number] = job
                job.result.add_done_callback(lambda result, number=number: self._cancelled(result, number))
            self._changed.notify(len(jobs))
        return jobs

    def close(self) -> None:
        """Ends the threads, once they have answered what is waiting."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
        for thread in self._threads:
            thread.join()

    def _cancelled(self, result: "Future[Any]", number: int) -> None:
        if result.cancelled():
            with self._changed:
                self._jobs.pop(number, None)

    def wait_s(self) -> int:
        """Seconds until the items that wait now should be answered."""
        recent = list(self._answered)
        if len(recent) < 2:
            return 1
        each = (recent[-1] - recent[0]) / (len(recent) - 1)
        return min(_LONGEST_WAIT_S, max(1, math.ceil(each * len(self._jobs))))

    def _work(self) -> None:
        while batch := self._next():
            self._answer(batch)

    def _next(self) -> list[Job]:
        """The next items of one kind; empty once the desk is closed and nothing is left."""
        with self._changed:
            while True:
                self._changed.wait_for(lambda: self._jobs or self._closed)
                batch: list[Job] = []
                while self._jobs and len(batch) < self._at_once:
                    number, job = next(iter(self._jobs.items()))
                    if batch and job.ask != batch[0].ask:
                        break
                    del self._jobs[number]
                    if job.result.set_running_or_notify_cancel():
                        batch.append(job)
                if batch or self._closed:
                    self.busy += len(batch)
                    return batch

    def _answer(self, batch: Sequence[Job]) -> None:
        try:
            # A batch is of several clients, so none of them can abandon it.
            with batch[0].work.under_way() if len(batch) == 1 else nullcontext():
                results = batch[0].ask([job.item for job in batch])
            for job, result in zip(batch, results, strict=True):
                job.result.set_result(result)
        except Exception as error:
            for job in batch:
                if not job.result.done():
                    job.result.set_exception(error)
        with self._changed:
            self.busy -= len(batch)
            self._answered.extend([self._clock()] * len(batch))
