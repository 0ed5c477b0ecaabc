"""Which response of a comparison was chosen: the one place that turns (a, b) into (chosen, rejected) and back."""

from dataclasses import dataclass
from typing import Literal, TypeVar

T = TypeVar("T")


@dataclass(frozen=True)
class Orientation:
    """Which of the responses a and b is the chosen one. Both methods are their own inverse."""

    chosen_is_a: bool

    @classmethod
    def of(cls, p_a: float) -> "Orientation":
        """The orientation of a preference: a is chosen from a probability of one half on."""
        return cls(p_a >= 0.5)

    @property
    def chosen_is(self) -> Literal["a", "b"]:
        """The place of the chosen response."""
        return "a" if self.chosen_is_a else "b"

    def pair(self, first: T, second: T) -> tuple[T, T]:
        """(chosen, rejected) from what belongs to a and b, or (a, b) from what belongs to chosen and rejected."""
        return (first, second) if self.chosen_is_a else (second, first)

    def probability(self, p: float) -> float:
        """The probability that the chosen response is better from that of a, or that of a from that of the chosen."""
        return p if self.chosen_is_a else 1.0 - p
