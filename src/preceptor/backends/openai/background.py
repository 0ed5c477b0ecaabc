"""An event loop in a thread of its own, so that callers stay synchronous, even inside a running loop (a notebook)."""

import asyncio
import threading
import weakref
from collections import deque
from collections.abc import Awaitable, Callable, Collection, Coroutine, Sequence
from concurrent.futures import Future
from typing import Any, Generic, TypeAlias, TypeVar

T = TypeVar("T")
LOOKS_S = 5.0
"""Seconds after which a caller that waits looks whether the loop is still there."""
Starter: TypeAlias = Callable[[], Coroutine[Any, Any, T]]
"""Makes a coroutine, in the loop."""


class Background:
    """Runs coroutines. Ends on `close`, when it becomes garbage, or with the process, whichever comes first."""

    def __init__(self, clean_up: Callable[[], Awaitable[None]]) -> None:
        """`clean_up` runs in the loop before the loop ends; it must not refer to the object that holds this one."""
        self._loop = asyncio.new_event_loop()
        thread = threading.Thread(target=_run, args=(self._loop,), name="preceptor-server", daemon=True)
        thread.start()
        self.close = weakref.finalize(self, _stop, self._loop, thread, clean_up)

    def start(self, coroutine: Coroutine[Any, Any, T]) -> "Future[T]":
        """Starts a coroutine; cancelling the future cancels it."""
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop)

    def group(self) -> "Group[Any]":
        """A group of coroutines of one caller."""
        return Group(self._loop)


class Group(Generic[T]):
    """Coroutines of one caller. They are handed to the loop many at a time, and so are their results to the caller.

    Each hop between the threads takes longer than most of what is done with a result, and while the caller works, the
    loop waits for the interpreter's lock. So results are collected in the loop until the caller asks for them. Its
    methods belong to the caller's thread.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._tasks: dict[asyncio.Task[T], int] = {}
        self._ended: deque[tuple[int, T | BaseException]] = deque()
        self._news = threading.Event()
        self._announced = False
        self.flying = 0
        """Coroutines whose results have not been taken yet."""

    def start(self, starters: Sequence[tuple[int, Starter[T]]]) -> None:
        """Starts coroutines, each with the number by which its result is known. If the loop has ended, they are
        cancelled.
        """
        if not starters:
            return
        self.flying += len(starters)
        try:
            self._loop.call_soon_threadsafe(self._begin, starters)
        except RuntimeError:  # the loop is closed
            self._ended.extend((number, asyncio.CancelledError()) for number, _ in starters)
            self._news.set()

    def take(self) -> list[tuple[int, T | BaseException]]:
        """All results, or errors, that have come since the last time. Waits for the first; where the loop has ended
        without one, there is an error with the number -1.
        """
        taken: list[tuple[int, T | BaseException]] = []
        while not taken:
            if not self._news.wait(LOOKS_S) and self._loop.is_closed() and not self._ended:
                return [(-1, asyncio.CancelledError())]
            self._news.clear()
            while self._ended:
                taken.append(self._ended.popleft())
        self.flying -= len(taken)
        return taken

    def cancel(self) -> None:
        """Cancels what is still running, unless the loop has ended."""
        if self.flying and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._cancel)

    def drop(self, spared: Collection["asyncio.Task[Any]"]) -> None:
        """Cancels what is still running, except for some tasks. May be called from any thread."""
        if not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._cancel, spared)

    # -- in the loop

    def _begin(self, starters: Sequence[tuple[int, Starter[T]]]) -> None:
        for number, starter in starters:
            task = self._loop.create_task(starter())
            self._tasks[task] = number
            task.add_done_callback(self._collect)

    def _collect(self, task: "asyncio.Task[T]") -> None:
        error = asyncio.CancelledError() if task.cancelled() else task.exception()
        self._ended.append((self._tasks.pop(task), task.result() if error is None else error))
        if not self._announced:
            self._announced = True
            self._loop.call_soon(self._announce)  # once for all that end in this round of the loop

    def _announce(self) -> None:
        self._announced = False
        self._news.set()

    def _cancel(self, spared: Collection["asyncio.Task[Any]"] = ()) -> None:
        for task in list(self._tasks):
            if task not in spared:
                task.cancel()


def _run(loop: asyncio.AbstractEventLoop) -> None:
    with asyncio.Runner(loop_factory=lambda: loop) as runner:  # on leaving: cancels what still runs, closes the loop
        runner.get_loop().run_forever()


def _stop(loop: asyncio.AbstractEventLoop, thread: threading.Thread, clean_up: Callable[[], Awaitable[None]]) -> None:
    async def end() -> None:
        try:
            await clean_up()
        finally:
            loop.stop()

    asyncio.run_coroutine_threadsafe(end(), loop)
    if threading.current_thread() is not thread:  # garbage is collected in any thread
        thread.join(timeout=2.0)
