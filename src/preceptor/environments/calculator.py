"""Arithmetic questions, some about numbers that only a tool can look up, with answers that can be checked."""

from collections.abc import Mapping, Sequence
from fractions import Fraction
from typing import Any

from preceptor.environments.arithmetic import evaluate, last_number, written

_CLOSE = Fraction(1, 200)
"""Half a cent: answers in money may be rounded."""


class Calculator:
    """A calculator and a table. The task is done when the number that the policy ends with is the right one."""

    def reset(self, table: Sequence[Mapping[str, Any]] | None = None, reference: str | None = None, **row: Any) -> None:
        """Sets a task up.

        Args:
            table: what can be looked up, each entry with its `name` and `value`.
            reference: the right answer.
        """
        self._table = {_key(str(entry["name"])): str(entry["value"]) for entry in table or ()}
        self._answer = last_number(reference or "")
        self._latest: Fraction | None = None

    def calculate(self, expression: str) -> str:
        """Calculates an arithmetic expression.

        Args:
            expression: numbers with + - * / ** and brackets, such as (12 + 3) * 4

        Returns:
            The result.
        """
        self._latest = evaluate(expression)
        return written(self._latest)

    def look_up(self, name: str) -> str:
        """Looks up a price or a population in the table.

        Args:
            name: name of the article or the town, such as lamp

        Returns:
            The number in the table.
        """
        found = self._table.get(_key(name)) or self._table.get(_key(name).removesuffix("s"))
        if found is None:
            listed = ", ".join(self._table) if self._table else "nothing, because this question needs no table"
            raise ValueError(f"it is not in the table, which has {listed}")
        self._latest = last_number(found)
        return found

    def get_reward(self, response: str | None = None) -> float | None:
        """1 for the right answer, else 0; None for a row without one.

        Args:
            response: the policy's last message, whose last number is its answer. TRL does not give it; then the last
                number that a tool returned counts as the answer.
        """
        if self._answer is None:
            return None
        given = self._latest if response is None else last_number(response)
        return float(given is not None and abs(given - self._answer) < _CLOSE)


def _key(name: str) -> str:
    return " ".join(name.casefold().split())
