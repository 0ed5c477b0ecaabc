"""Runs independent work of one model in parallel on a CPU.

Computing two halves of a batch in parallel, each on half of the cores, is faster than computing them in turn on all
cores: cores that share a product wait for each other at its end, and for Python between products.
"""

import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from functools import lru_cache
from typing import TypeVar

import torch

MOST_WORKERS = 4
"""More workers would wait for Python's lock and need more memory."""

T = TypeVar("T")
R = TypeVar("R")

_thread = threading.local()


def workers(device: torch.device) -> int:
    """How many pieces of work run in parallel; one on an accelerator, and inside a worker."""
    alone = device.type != "cpu" or getattr(_thread, "is_worker", False)
    return 1 if alone else min(MOST_WORKERS, torch.get_num_threads())


def side_by_side(device: torch.device, work: Callable[[T], R], items: Sequence[T]) -> Iterator[R]:
    """The results of the work on each item, in the order of the items. Each worker has its share of the threads.

    Gradient mode, inference mode and autocast are those of the caller. An error of a worker is raised here, once all
    work that had begun has ended.
    """
    at_once = min(workers(device), len(items))
    if at_once <= 1:
        yield from map(work, items)
        return
    threads = torch.get_num_threads()
    there = _as_here(work)
    begun = [_pool(at_once, threads // at_once).submit(there, item) for item in items]
    try:
        for future in begun:
            yield future.result()
    finally:
        for future in begun:
            future.cancel()
        wait(begun)
        torch.set_num_threads(threads)  # a worker's setting becomes the default of later threads


@lru_cache
def _pool(count: int, threads: int) -> ThreadPoolExecutor:
    """A pool of workers, which is kept: memory that a thread has already used is faster than new memory."""
    return ThreadPoolExecutor(count, initializer=_begin, initargs=(threads,))


def _begin(threads: int) -> None:
    _thread.is_worker = True
    torch.set_num_threads(threads)


def _as_here(work: Callable[[T], R]) -> Callable[[T], R]:
    """Wraps the work so that it runs in this thread's modes, which other threads do not inherit."""
    grad, inference = torch.is_grad_enabled(), torch.is_inference_mode_enabled()
    autocast, dtype = torch.is_autocast_enabled("cpu"), torch.get_autocast_dtype("cpu")

    def there(item: T) -> R:
        with (
            torch.inference_mode(inference),
            torch.set_grad_enabled(grad),
            torch.autocast("cpu", dtype=dtype, enabled=autocast),
        ):
            return work(item)

    return there
