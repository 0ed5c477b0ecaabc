"""Which response of a comparison was chosen: the one place that turns (a, b) into (chosen, rejected) and back."""

from dataclasses import dataclass
from typing import Literal, TypeVar

T = TypeVar("T")


@dataclass(frozen=True)
class Orientation:
    """Which of the responses a and b is the chosen one. `pair` and `probability` are their own inverses."""

    chosen_is_a: bool

    @classmethod
    def of(cls, p_a: float) -> "Orientation":
        """The orientation of a preference: a is chosen if its probability is at least one half."""
        return cls(p_a >= 0.5)

    @property
    def chosen_is(self) -> Literal["a", "b"]:
        """The place of the chosen response."""
        return "a" if self.chosen_is_a else "b"

    def pair(self, first: T, second: T) -> tuple[T, T]:
        """Turns (a, b) into (chosen, rejected), or (chosen, rejected) into (a, b)."""
        return (first, second) if self.chosen_is_a else (second, first)

    def probability(self, p: float) -> float:
        """Turns the probability that a is better into that of the chosen response, or the other way round."""
        return p if self.chosen_is_a else 1.0 - p
