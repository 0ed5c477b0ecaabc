"""How a row was chosen from all rows, which decides whether it can represent the others.

Two columns of a row record this: `selection` and, for planned rows, `selection_probability`. Files for people to label
contain these columns, so the labelled files contain them too.
"""

from dataclasses import dataclass
from typing import Literal, TypeAlias, cast, get_args

from preceptor.store.rows import Row

How: TypeAlias = Literal["random", "cohort", "planned", "disputed"]
"""`random`: every row was as likely as any other. `cohort`: every row of its cohort was as likely as any other, so that
it represents only this cohort. `planned`: with a probability that is known. `disputed`: because judges dispute it, so
that it represents no other row.
"""


@dataclass(frozen=True)
class Selection:
    """How one row was chosen."""

    how: How | None = None
    """None if it is not known."""
    probability: float | None = None
    """For a planned row, the probability that it would be chosen, in (0, 1]."""

    @property
    def columns(self) -> Row:
        """The columns that record the selection; empty if nothing is known."""
        columns = {"selection": self.how, "selection_probability": self.probability}
        return {name: value for name, value in columns.items() if value is not None}


NOT_SAID = Selection()
DISPUTED = Selection("disputed")


class WrongSelectionError(ValueError):
    """Names on one line what is wrong with a row's selection."""


def read_selection(row: Row) -> Selection:
    """How a row was chosen, according to its columns. Unknown words in `selection` are ignored.

    Raises: WrongSelectionError where a planned row has no probability.
    """
    how, probability = row.get("selection"), row.get("selection_probability")
    if how not in get_args(How):
        return NOT_SAID
    if how != "planned":
        return Selection(cast("How", how))
    if isinstance(probability, bool) or not isinstance(probability, int | float) or not 0.0 < probability <= 1.0:
        raise WrongSelectionError(
            f'selection_probability: expected a probability above 0 and up to 1 beside "planned", got {probability!r}'
        )
    return Selection("planned", float(probability))
