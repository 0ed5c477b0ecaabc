"""What may be sent to a model: as much as the budget allows beside all that is in flight."""

import threading
from collections.abc import Callable, Sequence

from preceptor.backends.base import FREE, Price
from preceptor.core.types import Usage
from preceptor.store.ledger import Ledger, Sent


class BudgetedAdmission:
    """Reserves for each request what it is estimated to cost, until its outcome is on record.

    So the budget is overdrawn by no more than what requests cost beyond their estimates. Where one was too low, those
    that follow are raised by the same factor.
    """

    def __init__(self, ledger: Ledger, price: Price | None, sent: Callable[[int, Usage, float | None], Sent]) -> None:
        """Args:
        price: None where it is not known; nothing is reserved then.
        sent: what is written down of a request that is about to be sent, by its index.
        """
        self._ledger = ledger
        self._price = price or FREE
        self._known = price is not None
        self._sent = sent
        self._reserved: dict[int, float] = {}
        self._estimated: dict[int, float] = {}
        """What is reserved, before the factor."""
        self._factor = 1.0
        self._lock = threading.Lock()
        self.refused: float | None = None
        """Dollars of the request that the budget did not allow, last; those in flight may have left enough since."""
        self.failed: float | None = None
        """Dollars that a request lacked to be finished; None where none lacked any."""

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
        """The outcomes of these requests are on record, and what they took is spent."""
        with self._lock:
            for index, usage in usages:
                self._reserved.pop(index, None)
                if (estimated := self._estimated.pop(index, 0.0)) > 0.0:
                    self._factor = max(self._factor, self._price.cost(usage) / estimated)

    @property
    def open(self) -> bool:
        """Whether requests were admitted whose outcomes are not on record."""
        return bool(self._reserved)

    def _allows(self, dollars: float) -> bool:
        return self._ledger.affords(sum(self._reserved.values()) + dollars)
