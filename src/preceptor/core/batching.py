"""Batches from callers on several threads, for what serves one caller at a time: a local model, a file."""

import asyncio
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Generic, TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")


class Batcher(Generic[Item, Result]):
    """Passes items to a function that takes a batch, one batch at a time.

    Items that arrive during a batch form the next batch, so many callers with one item each are answered about as fast
    as one caller with many.

    Args:
        answer: returns one result for each item, in order.
        lock: held during a batch. Batchers that share a model or a file share it.
    """

    def __init__(self, answer: Callable[[Sequence[Item]], list[Result]], lock: threading.Lock) -> None:
        self._answer = answer
        self._lock = lock
        self._waiting: list[tuple[Sequence[Item], Future[list[Result]]]] = []
        self._adding = threading.Lock()

    def ask(self, items: Sequence[Item]) -> list[Result]:
        """The results, in order. Runs in the caller's thread, or waits for the thread that answers the batch.

        Raises: whatever the function raised for the batch.
        """
        future = self._add(items)
        self._serve()
        return future.result()

    async def ask_async(self, items: Sequence[Item], pool: ThreadPoolExecutor) -> list[Result]:
        """The same from an event loop, which is never blocked."""
        future = self._add(items)
        await asyncio.get_running_loop().run_in_executor(pool, self._serve)
        return future.result()

    def _add(self, items: Sequence[Item]) -> "Future[list[Result]]":
        future: Future[list[Result]] = Future()
        with self._adding:
            self._waiting.append((items, future))
        return future

    def _serve(self) -> None:
        """Answers all waiting items. Items that another thread took have their results once the lock is free."""
        with self._lock:
            with self._adding:
                batch, self._waiting = self._waiting, []
            if not batch:
                return
            try:
                results = iter(self._answer([item for items, _ in batch for item in items]))
                for items, future in batch:
                    future.set_result([next(results) for _ in items])
            except BaseException as error:
                for _, future in batch:
                    if not future.done():
                        future.set_exception(error)
                if not isinstance(error, Exception):
                    raise
