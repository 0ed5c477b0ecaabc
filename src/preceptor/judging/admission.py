"""Decides which requests may be sent to a model: as many as the budget allows on top of those in flight."""

import threading
from collections.abc import Callable, Sequence

from preceptor.backends.base import FREE, Price
from preceptor.core.types import Usage
from preceptor.store.ledger import Ledger, Sent


class BudgetedAdmission:
    """Reserves the estimated cost of each request until its outcome is on record.

    So the budget can be exceeded only by the amount that requests cost beyond their estimates. After an estimate that
    was too low, later ones are raised by the same factor.
    """

    def __init__(self, ledger: Ledger, price: Price | None, sent: Callable[[int, Usage, float | None], Sent]) -> None:
        """Args:
        price: None if unknown; then nothing is reserved.
        sent: makes the record of a request about to be sent, from its index, estimated usage and reserved dollars.
        """
        self._ledger = ledger
        self._price = price or FREE
        self._known = price is not None
        self._sent = sent
        self._reserved: dict[int, float] = {}
        self._estimated: dict[int, float] = {}
        """Reserved amounts, before the factor is applied."""
        self._factor = 1.0
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
                dollars = self._factor * self._price.cost(usage)
                if not self._allows(dollars):
                    self.refused = dollars
                    break
                self._reserved[index], self._estimated[index] = dollars, self._price.cost(usage)
                admitted.append(self._sent(index, usage, dollars if self._known else None))
        if admitted:
            self._ledger.begin(admitted)
        return len(admitted)

    def extend(self, index: int, more: Usage) -> bool:
        """As `Admission.extend`."""
        with self._lock:
            dollars = self._factor * self._price.cost(more)
            if not self._allows(dollars):
                self.failed = dollars
                return False
            self._reserved[index] += dollars
            self._estimated[index] += self._price.cost(more)
            return True

    def settle(self, usages: Sequence[tuple[int, Usage]]) -> None:
        """Releases the reservations of requests whose outcomes are on record."""
        with self._lock:
            for index, usage in usages:
                self._reserved.pop(index, None)
                if (estimated := self._estimated.pop(index, 0.0)) > 0.0:
                    self._factor = max(self._factor, self._price.cost(usage) / estimated)

    @property
    def open(self) -> bool:
        """Whether any admitted request has no outcome on record yet."""
        return bool(self._reserved)

    def _allows(self, dollars: float) -> bool:
        return self._ledger.affords(sum(self._reserved.values()) + dollars)
