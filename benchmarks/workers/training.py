"""Code shared by the training workers: threads, parts of a step, stepping a training loop, the quick start's judge."""

import functools
import os
import time
from collections.abc import Callable
from pathlib import Path
from queue import SimpleQueue
from threading import Thread
from typing import Any, ParamSpec, TypeVar

import torch

from benchmarks.worker import Parts, serve

P = ParamSpec("P")
R = TypeVar("R")
Facts = dict[str, Any]


def use_threads(settings: dict[str, Any]) -> None:
    """Sets torch's number of threads from the settings; all processors if they give none."""
    torch.set_num_threads(int(settings.get("threads") or os.cpu_count() or 1))


def timed(parts: Parts, name: str, function: Callable[P, R]) -> Callable[P, R]:
    """The function, with its seconds added to a part."""

    @functools.wraps(function)
    def inner(*args: P.args, **kwargs: P.kwargs) -> R:
        with parts.timed(name):
            return function(*args, **kwargs)

    return inner


def serve_steps(loop: Callable[[dict[str, Any], Callable[[Facts], None]], None]) -> None:
    """Like `worker.serve`, for a training loop that runs by itself: it is paused and takes one step for every "go".

    Args:
        loop: takes the settings and `pause`, which it calls when it is ready for the first step, and after each step
            with that step's facts. It runs in the main thread, as it would for a user.
    """
    settings: SimpleQueue[dict[str, Any]] = SimpleQueue()
    paused: SimpleQueue[Facts] = SimpleQueue()
    go: SimpleQueue[None] = SimpleQueue()

    def step() -> Facts:
        begun = time.process_time()
        go.put(None)
        facts = paused.get()
        return {**facts, "cpu_seconds": time.process_time() - begun}

    def prepare(given: dict[str, Any]) -> Callable[[], Facts]:
        settings.put(given)
        paused.get()
        return step

    def pause(facts: Facts) -> None:
        paused.put(facts)
        go.get()

    def answer() -> None:
        try:
            serve(prepare)
        finally:
            os._exit(0)  # the harness is gone: without this, the loop would wait forever for its next "go"

    Thread(target=answer, daemon=True).start()
    loop(settings.get(), pause)


def quick_start_judge(ledger: Path, constitution: str) -> Any:
    """A `ScoreJudge` on the embedded model, as `preceptor run quickstart` asks it; every call goes into the ledger."""
    from preceptor.backends.resolve import open_model
    from preceptor.judging.constitution import load_constitution
    from preceptor.judging.score import ScoreJudge
    from preceptor.store.ledger import Ledger

    return ScoreJudge(open_model("embedded"), load_constitution(constitution), Ledger(ledger))
