"""How a row was chosen from all those there were: what decides whether it can stand for the rest.

Two columns of a row say it: `selection`, and of a planned one `selection_probability`. Files for people carry them, and
people's labels bring them back.
"""

from dataclasses import dataclass
from typing import Literal, TypeAlias, cast, get_args

from preceptor.store.rows import Row

How: TypeAlias = Literal["random", "planned", "disputed"]
"""`random`: every row was as likely as any other. `planned`: with a probability that is known. `disputed`: because
judges dispute it, so that it stands for no other row."""


@dataclass(frozen=True)
class Selection:
    """How one row was chosen."""

    how: How | None = None
    """None where nobody says."""
    probability: float | None = None
    """Of a planned row: that it would be chosen, in (0, 1]."""

    @property
    def columns(self) -> Row:
        """The columns that say so; none where nothing is known."""
        found = {"selection": self.how, "selection_probability": self.probability}
        return {name: value for name, value in found.items() if value is not None}


NOT_SAID = Selection()
DISPUTED = Selection("disputed")


class WrongSelectionError(ValueError):
    """Says on one line what is wrong with a row's selection."""


def read_selection(row: Row) -> Selection:
    """How a row was chosen, by its columns. Other words in a column of that name say nothing.

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
