"""How many attempts are in flight at once: a fixed number, or as many as the server answers well."""

import asyncio
import time
from collections import deque
from collections.abc import Callable, Hashable
from statistics import median

START = 8
"""Attempts in flight at the beginning, and whenever it is measured how fast the server can be."""
MOST = 128
"""Most attempts in flight that are tried."""
CALM = 4
"""Slow answers alone never bring the limit below this; refusals can bring it to 1."""
SLOWER = 2.0
"""Answers that take this many times as long as those of a few attempts wait in a queue, where more do not help."""
FAST_S = 0.05
"""Answers within this time are never slow: much of it passes in this process."""
MEASURED_AGAIN = 64
"""Windows after which it is measured again how fast the server can be."""
PATIENCE = 32
"""Answers of other kinds after which a measurement is given up."""
AFTER_SLOW, AFTER_REFUSED = 0.8, 0.5
"""By what the limit is multiplied."""


class Limit:
    """The limit of one model, for all its callers together. Only `now` and `most` may be read outside the event loop.

    A limit that adapts is decided on after every window, which is about as many answers as may be in flight. It doubles
    at first, and rises by one once it has been lowered: additive increase, multiplicative decrease (Chiu and Jain
    1989). It is lowered by refusals, by attempts that are not answered in time, and by slow answers: their median is
    compared with that of the same kind of answer when few are in flight, which is measured at first and again now and
    then.
    """

    def __init__(self, concurrency: int | None, clock: Callable[[], float] = time.monotonic) -> None:
        """Args:
        concurrency: a fixed limit; None for one that adapts to the server.
        clock: seconds.
        """
        self._adaptive = concurrency is None
        self._limit = float(START if concurrency is None else concurrency)
        self._doubling = True
        self._clock = clock
        self._waiting: deque[asyncio.Future[None]] = deque()
        self._windows: dict[Hashable, _Window] = {}
        self._changed_at = -1.0
        self._measuring: _Window | None = None
        self._before = 0.0
        """The limit before it was lowered to measure."""
        self._patience = 0
        """How many of these are left."""
        self.in_flight = 0
        """Attempts in flight."""
        self.most = self.now
        """The highest limit so far."""

    @property
    def now(self) -> int:
        """The limit at this moment."""
        return int(self._limit)

    async def enter(self) -> float:
        """Waits for a place. Returns the time at which it was given, in seconds of the clock."""
        if self.in_flight < self.now and not self._waiting:
            self.in_flight += 1
            return self._clock()
        place = asyncio.get_running_loop().create_future()
        self._waiting.append(place)
        try:
            await place
        except asyncio.CancelledError:
            if place.done() and not place.cancelled():
                self.leave()  # the place was given in the same moment
            raise
        return self._clock()

    def leave(self) -> None:
        """Gives a place back."""
        self.in_flight -= 1
        while self._waiting and self.in_flight < self.now:
            place = self._waiting.popleft()
            if not place.done():
                self.in_flight += 1
                place.set_result(None)

    def answered(self, kind: Hashable, entered: float) -> None:
        """Takes an answer into account.

        Args:
            kind: answers of one kind take about the same time if the server has nothing else to do.
            entered: when the attempt began.
        """
        if not self._adaptive or entered <= self._changed_at:
            return
        window = self._windows.setdefault(kind, _Window(self.now))
        window.seconds.append(self._clock() - entered)
        window.busiest = max(window.busiest, self.in_flight)
        if self._measuring not in (None, window):
            self._patience -= 1
            if not self._patience:
                self._measured()
        if len(window.seconds) < window.size:
            return
        if self._measuring is window:
            self._measured()
        elif window.usual is not None:
            self._compared(window, window.usual)
        elif self.now <= START:
            window.begin_with(window.close(self.now))
        elif self._measuring is None:
            self._measure(window)

    def refused(self, entered: float) -> None:
        """Takes into account that the server had too much to do: it said so, or did not answer in time."""
        if self._adaptive and entered > self._changed_at:
            self._lower(AFTER_REFUSED, 1.0)

    def _measure(self, window: "_Window") -> None:
        """Lowers the limit for one window, to see how long answers take if few are in flight."""
        self._measuring, self._before, self._patience = window, self._limit, PATIENCE
        self._change(min(self._limit, float(START)))

    def _measured(self) -> None:
        """Ends the measurement, also if other kinds of answers came instead."""
        window = self._measuring
        if window is not None and len(window.seconds) >= START:
            window.begin_with(window.close(START))
        self._measuring = None
        self._set(self._before)

    def _compared(self, window: "_Window", usual: float) -> None:
        used = 2 * window.busiest > self.now  # otherwise a higher limit would change nothing
        slow = window.close(self.now) > max(FAST_S, SLOWER * usual)
        window.compared += 1
        if slow:
            self._lower(AFTER_SLOW, min(CALM, self._limit))
        elif used and self._measuring is None:
            self._raise()
        if window.compared >= MEASURED_AGAIN and self._measuring is None:
            self._measure(window)

    def _raise(self) -> None:
        self._set(min(float(MOST), 2 * self._limit if self._doubling else self._limit + 1))

    def _lower(self, factor: float, least: float) -> None:
        """Once for all attempts that are in flight, because they say the same."""
        self._doubling = False
        self._before = max(least, factor * self._before)
        self._change(max(least, factor * self._limit))

    def _change(self, limit: float) -> None:
        """Sets a lower limit. What began under the higher one is not taken into account."""
        self._set(limit)
        self._changed_at = self._clock()
        for window in self._windows.values():
            window.close(self.now)

    def _set(self, limit: float) -> None:
        self._limit = limit
        self.most = max(self.most, self.now)


class _Window:
    """Times of the latest answers of one kind."""

    def __init__(self, size: int) -> None:
        self.size = max(START, size)
        self.seconds: list[float] = []
        self.usual: float | None = None
        """Median if few are in flight, in seconds; None if it was not measured yet."""
        self.compared = 0
        """Windows that were compared with it."""
        self.busiest = 0
        """Most attempts in flight when one of these answers came."""

    def begin_with(self, usual: float) -> None:
        """Sets the time that later windows are compared with."""
        self.usual, self.compared = usual, 0

    def close(self, size: int) -> float:
        """Begins another window, of as many answers. Returns the median of this one; 0 if it is empty."""
        typical = median(self.seconds) if self.seconds else 0.0
        self.seconds.clear()
        self.size, self.busiest = max(START, size), 0
        return typical
