"""What the calls on record in a ledger were for, and what they took."""

import sqlite3
from collections.abc import Iterable
from pathlib import Path

from preceptor.core.errors import PreceptorError
from preceptor.core.types import Frozen

JUDGE = "judge"
"""The role of whoever is on record without one."""


class Calls(Frozen):
    """Calls of one role."""

    calls: int = 0
    failures: int = 0
    tokens: int = 0
    """Read and written."""
    cost_usd: float = 0.0
    """Of the calls whose price is known."""
    unpriced: int = 0

    def __add__(self, other: "Calls") -> "Calls":
        return Calls(
            calls=self.calls + other.calls,
            failures=self.failures + other.failures,
            tokens=self.tokens + other.tokens,
            cost_usd=self.cost_usd + other.cost_usd,
            unpriced=self.unpriced + other.unpriced,
        )


def calls_by_role(ledgers: Iterable[Path]) -> dict[str, Calls]:
    """Calls on record in several ledgers, by the role of who was asked: `judge`, `policy` or `reviser`.

    Raises: PreceptorError when a ledger cannot be read.
    """
    found: dict[str, Calls] = {JUDGE: Calls()}
    for path in ledgers:
        try:
            connection = sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True)
            try:
                rows = connection.execute(
                    "SELECT coalesce(json_extract(rater, '$.settings.role'), ?), count(*), sum(failed), "
                    "cast(total(prompt_tokens) + total(completion_tokens) AS INTEGER), coalesce(sum(cost_usd), 0.0), "
                    "count(*) - count(cost_usd) FROM calls GROUP BY 1",
                    [JUDGE],
                ).fetchall()
            finally:
                connection.close()
        except sqlite3.Error as error:
            raise PreceptorError(f"{path}: the ledger cannot be read: {error}") from error
        for role, calls, failures, tokens, cost, unpriced in rows:
            counted = Calls(calls=calls, failures=failures, tokens=tokens, cost_usd=cost, unpriced=unpriced)
            found[role] = found.get(role, Calls()) + counted
    return found
