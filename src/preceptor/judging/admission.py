"""Decides which requests may be sent to a model: as many as the budget allows on top of those in flight."""

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from preceptor.backends.base import FREE, Price
from preceptor.core.types import Usage
from preceptor.store.call_rows import Sent
from preceptor.store.ledger import Ledger


@dataclass
class Estimating:
    """What a judge's calls have shown about the estimates of their cost."""

    factor: float = 1.0
    """The most that a call has cost, in multiples of its estimate; at least 1. Later estimates are raised by it."""


class BudgetedAdmission:
    """Reserves the estimated cost of each request until its outcome is on record.

    So the budget can be exceeded only by the amount that requests cost beyond their estimates. After an estimate that
    was too low, later ones are raised by the same factor.
    """

    def __init__(
        self,
        ledger: Ledger,
        price: Price | None,
        sent: Callable[[int, Usage, float | None], Sent],
        estimating: Estimating | None = None,
        *,
        recoverable: bool = False,
    ) -> None:
        """Args:
        price: None if unknown; then nothing is reserved.
        sent: makes the record of a request about to be sent, from its index, estimated usage and reserved dollars.
        estimating: what earlier calls have shown; changed by these.
        recoverable: whether the model keeps its own record of what is in flight, so that none is lost and counted.
        """
        self._recoverable = recoverable
        self._ledger = ledger
        self._price = price or FREE
        self._known = price is not None
        self._sent = sent
        self._estimated: dict[int, float] = {}
        """Reserved amounts, before the factor is applied, of the requests whose outcome is not on record."""
        self._estimating = estimating or Estimating()
        self._lock = threading.Lock()
        self.refused: float | None = None
        """Dollars of the last request that the budget did not allow; requests settled since may have left enough."""
        self.failed: float | None = None
        """Dollars of the last further call that the budget did not allow, so that its request failed; None if all were
        allowed.
        """

    def admit(self, estimates: Sequence[tuple[int, Usage]]) -> int:
        """As `Admission.admit`.

        Raises: PreceptorError when the ledger cannot be written.
        """
        admitted: list[Sent] = []
        with self._lock:
            for index, usage in estimates:
                dollars = self._estimating.factor * self._price.cost(usage)
                if not self._ledger.reserve((self, index), dollars):
                    self.refused = dollars
                    break
                self._estimated[index] = self._price.cost(usage)
                admitted.append(self._sent(index, usage, dollars if self._known else None))
        if admitted and not self._recoverable:
            self._ledger.begin(admitted)
        return len(admitted)

    def extend(self, index: int, more: Usage) -> bool:
        """As `Admission.extend`."""
        with self._lock:
            dollars = self._estimating.factor * self._price.cost(more)
            if not self._ledger.reserve((self, index), dollars):
                self.failed = dollars
                return False
            self._estimated[index] += self._price.cost(more)
            return True

    def settle(self, usages: Sequence[tuple[int, Usage]]) -> None:
        """Releases the reservations of requests whose outcomes are on record."""
        with self._lock:
            for index, usage in usages:
                self._ledger.release((self, index))
                if (estimated := self._estimated.pop(index, 0.0)) > 0.0:
                    factor = self._price.cost(usage) / estimated
                    self._estimating.factor = max(self._estimating.factor, factor)

    def abandon(self) -> list[int]:
        """Releases the reservations of all other requests. Returns the indices of those that were admitted."""
        with self._lock:
            indices = list(self._estimated)
            for index in indices:
                self._ledger.release((self, index))
            self._estimated.clear()
            return indices
