"""The service's state: judges, their queues, the ledger, and what is counted."""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

from starlette.requests import Request

from preceptor.core.errors import PreceptorError
from preceptor.serve.desk import Ask, Desk
from preceptor.serve.judges import ServedJudge
from preceptor.serve.metrics import Metrics
from preceptor.store.ledger import Ledger

_BEYOND_QUEUES = 256
"""Requests that may be in progress (being read, judged or answered) beyond those that the queues hold."""


class RefusedError(Exception):
    """A request that is not carried out."""

    def __init__(self, status: int, message: str, field: str | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.field = field


@dataclass(frozen=True)
class Service:
    """Everything that routes use."""

    judges: Mapping[str, ServedJudge]
    desks: Mapping[str, Desk]
    """One for each model, by the model's string."""
    ledger: Ledger
    metrics: Metrics
    token: str | None = None
    """What clients must send; None where only this machine reaches the service."""

    def judge(self, name: str | None) -> ServedJudge:
        """The judge of a name, or the only one there is.

        Raises: RefusedError for an unknown name (404), and where several could be meant (422).
        """
        known = ", ".join(self.judges)
        if name is None:
            if len(self.judges) > 1:
                raise RefusedError(422, f"judge: name one of {known}", "judge")
            [only] = self.judges.values()
            return only
        if name not in self.judges:
            raise RefusedError(404, f'there is no judge "{name[:64]}"; known: {known}', "judge")
        return self.judges[name]

    async def ask(self, judge: ServedJudge, ask: Ask, items: Sequence[Any]) -> list[Any]:
        """The judge's results for items, in order. If the caller is cancelled, items that have not begun are dropped.

        Raises: BusyError when there is no room; PreceptorError when the budget is spent or the model cannot be asked.
        """
        desk = self.desks[judge.spec.model]
        if len(items) > desk.room:
            raise RefusedError(422, f"{len(items)} responses in one request; the queue holds {desk.room}")
        jobs = desk.add(ask, items)
        try:
            return list(await asyncio.gather(*(asyncio.wrap_future(job.result) for job in jobs)))
        except (asyncio.CancelledError, PreceptorError):
            for job in jobs:
                job.abandon()
            raise

    @property
    def most_requests(self) -> int:
        """Requests that may be under way at once: beyond them the queues are full, so that none needs to be read."""
        return _BEYOND_QUEUES + sum(desk.room for desk in self.desks.values())

    def close(self) -> None:
        """Ends the threads once what they have taken is answered."""
        for desk in self.desks.values():
            desk.close()


def service_of(request: Request) -> Service:
    """The service that a request is sent to."""
    return cast("Service", request.app.state.service)
