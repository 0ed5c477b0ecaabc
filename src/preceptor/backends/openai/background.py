"""An event loop in a thread of its own, so that callers stay synchronous, even inside a running loop (a notebook)."""

import asyncio
import threading
import weakref
from collections.abc import Awaitable, Callable, Coroutine
from concurrent.futures import Future
from typing import Any, TypeVar

T = TypeVar("T")


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
