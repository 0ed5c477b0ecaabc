"""Which calls this process is making at the moment, so that equal calls of several threads are made once."""

import threading
from collections.abc import Iterable
from concurrent.futures import Future
from dataclasses import dataclass
from types import TracebackType
from typing import Generic, TypeVar

Result = TypeVar("Result")


@dataclass
class _Claim(Generic[Result]):
    thread: int
    """The thread that makes the call."""
    result: "Future[Result | None] | None" = None
    """Made by the first thread that waits for it: few calls are waited for."""


class Claims(Generic[Result]):
    """The calls in progress, by key. Whoever claims a call that another thread makes waits for that thread's result."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._claims: dict[str, _Claim[Result]] = {}

    def take(self, keys: Iterable[str]) -> "Claimed[Result]":
        """Claims the calls that no other thread is making. Use as a context manager."""
        own: list[str] = []
        others: dict[str, Future[Result | None]] = {}
        thread = threading.get_ident()
        with self._lock:
            for key in keys:
                claim = self._claims.get(key)
                if claim is None:
                    self._claims[key] = _Claim(thread)
                elif claim.thread != thread:  # a thread that waited for itself would wait for ever
                    claim.result = claim.result or Future()
                    others[key] = claim.result
                    continue
                own.append(key)
        return Claimed(self, own, others)

    def end(self, key: str, result: Result | None) -> None:
        """Hands the result to whoever waits for it; None where there is none, so that they make the call."""
        with self._lock:
            claim = self._claims.pop(key, None)
        if claim is not None and claim.result is not None:
            claim.result.set_result(result)


class Claimed(Generic[Result]):
    """What one caller has claimed. On leaving the context, claims without a result are given up."""

    def __init__(self, claims: Claims[Result], own: list[str], others: "dict[str, Future[Result | None]]") -> None:
        self.own = own
        """Keys of the calls to make."""
        self.others = others
        """Results of the calls that other threads make; None where one of them gave up. Wait for them last: a thread
        that has calls of its own to make may keep others waiting."""
        self._claims = claims
        self._open = set(own)

    def end(self, key: str, result: Result) -> None:
        """Hands over the result of one call."""
        self._open.discard(key)
        self._claims.end(key, result)

    def __enter__(self) -> "Claimed[Result]":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for key in self._open:
            self._claims.end(key, None)
