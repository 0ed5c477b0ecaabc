"""The responses that a page holds for reading and searching: all of them up to a size, else a random sample."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from preceptor.reports.turns import Turn

MOST_CHARACTERS = 2_000_000
"""The size of all texts above which a page holds only a sample: browsers search this much without a pause."""
SEED = 0


@dataclass(frozen=True)
class Side:
    """One response."""

    label: str
    """Who gave it, and its scores."""
    text: str
    preferred: bool = False
    thought: str = ""
    """What the policy thought before it, shown folded."""
    turns: tuple[Turn, ...] = ()
    """An agent's, shown in place of the text."""

    @property
    def characters(self) -> int:
        """The length of its texts."""
        return len(self.text) + len(self.thought) + sum(turn.characters for turn in self.turns)


@dataclass(frozen=True)
class Row:
    """A prompt with the responses to it."""

    tag: str
    """Cohort and kind, in few words."""
    prompt: str
    sides: tuple[Side, ...]
    notes: tuple[str, ...] = ()
    """What judges said, a sentence each."""
    reasoning: str = ""
    """A judge's own text."""

    @property
    def characters(self) -> int:
        """The length of its texts."""
        return len(self.prompt) + len(self.reasoning) + sum(side.characters for side in self.sides)


@dataclass(frozen=True)
class Responses:
    """The rows on a page."""

    rows: tuple[Row, ...]
    total: int
    """How many there are in all."""

    @property
    def sampled(self) -> bool:
        """Whether some are left out."""
        return len(self.rows) < self.total


def fitting(rows: Sequence[Row], most: int = MOST_CHARACTERS) -> Responses:
    """All rows, or a sample drawn with the seed `SEED` with at most this many characters; in the given order."""
    kept: list[int] = []
    for place in np.random.default_rng(SEED).permutation(len(rows)).tolist():
        most -= rows[place].characters
        if most < 0:
            break
        kept.append(place)
    return Responses(tuple(rows[place] for place in sorted(kept)), len(rows))
