"""Which of a prompt's criteria are worth keeping: what was tried on responses decides, and what was not tried is said.

Texts and numbers in, reasons out; nothing here asks a model. A verdict is a probability that a response meets an item,
or None where there is none; it is never taken for "not met".
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

from scipy import stats

Reason: TypeAlias = Literal["duplicate", "met by all", "met by none", "not judged", "flips", "against people"]
"""Why an item was dropped. The first of these that holds is the one given."""

ALIKE = 0.75
"""Share of common words, of all words of two criteria, from which the later one repeats the earlier."""
LEAST_CANDIDATES = 2
"""Responses with a verdict that it takes to say that all or none of them meet an item."""
MOST_FLIPS = 0.25
"""Largest share of responses on which a rephrased item may be judged otherwise."""
LEAST_LABELS = 5
"""Labelled pairs that it takes to hold people's labels against an item: fewer cannot reach the level, 0.5^4 > 0.05."""
LEVEL = 0.05
"""Level of the one-sided binomial test that an item agrees with people less often than chance."""
_NEGATIONS = {"not", "no", "never", "without", "neither", "nor", "avoid", "avoids", "except", "unless"}
_NUMBERS = {
    *("one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten"),
    *("first", "second", "third", "least", "most", "more", "fewer"),
}
_EMPTY = {
    *("a", "an", "the", "of", "to", "in", "on", "for", "and", "or", "with", "as", "by", "that", "this", "it", "its"),
    *("is", "are", "be", "do", "does", "should", "must", "response", "answer", "text"),
}
"""Words that say nothing about what a criterion asks for."""


@dataclass(frozen=True)
class Trial:
    """What was seen of one item."""

    met_C: tuple[float | None, ...]
    """Probability that each candidate response meets it."""
    rephrased_C: tuple[float | None, ...] | None = None
    """The same of the item in other words; None if there is no rephrasing."""


def decided(p: float) -> bool:
    """Whether an item counts as met."""
    return p >= 0.5


@dataclass(frozen=True)
class _Asked:
    """What a criterion asks for."""

    telling: frozenset[str]
    numbers: frozenset[str]
    negations: frozenset[str]
    is_merit: bool

    def like(self, other: "_Asked") -> bool:
        """Whether both ask for the same: one may be the fault of not doing what the other has as a merit."""
        every = self.telling | other.telling
        alike = not every or len(self.telling & other.telling) >= ALIKE * len(every)
        opposite = bool(self.negations) != bool(other.negations) and self.is_merit != other.is_merit
        return alike and self.numbers == other.numbers and (self.negations == other.negations or opposite)


def repeated(criteria: Sequence[tuple[str, float]]) -> list[int | None]:
    """For each criterion with its points, the position of the earlier one that it repeats; None if it repeats none.

    Two criteria are the same if `ALIKE` of their telling words are. Those that differ in a number or a negation are
    not, unless one says as a fault that a response does not do what the other has as a merit.

    Examples:
        >>> repeated([("Names two causes.", 3), ("Names three causes.", 3), ("The response names two causes!", 1)])
        [None, None, 0]
        >>> repeated([("It names a cause.", 3), ("It does not name a cause.", -3), ("It does not name a cause.", 3)])
        [None, 0, None]
    """
    seen: list[tuple[int, _Asked]] = []
    found: list[int | None] = []
    for position, (criterion, points) in enumerate(criteria):
        own = _asked(criterion, points)
        earlier = next((other for other, asked in seen if own.like(asked)), None)
        found.append(earlier)
        if earlier is None:
            seen.append((position, own))
    return found


def normalised(criterion: str) -> str:
    """A criterion's words in lower case, by which equal ones are recognised across prompts."""
    return " ".join(_words(criterion))


def same_for_all(met_C: Sequence[float | None]) -> Literal["met by all", "met by none", "not judged"] | None:
    """Why an item does not tell the candidates apart; None if it does."""
    known = [decided(p) for p in met_C if p is not None]
    if len(known) < LEAST_CANDIDATES:
        return "not judged"
    return "met by all" if all(known) else None if any(known) else "met by none"


def flips(trial: Trial) -> tuple[int, int]:
    """On how many candidates the verdict changed when the item was rephrased, and on how many there are both."""
    pairs = zip(trial.met_C, trial.rephrased_C or (), strict=bool(trial.rephrased_C))
    changed = [decided(p) != decided(q) for p, q in pairs if p is not None and q is not None]
    return sum(changed), len(changed)


def flips_too_often(trial: Trial) -> bool:
    """Whether the rephrased item is judged otherwise for more than `MOST_FLIPS` of the candidates."""
    changed, compared = flips(trial)
    return compared > 0 and changed > MOST_FLIPS * compared


def against_people(agrees: Sequence[bool]) -> bool:
    """Whether an item contradicts people: with `LEAST_LABELS` or more labelled pairs that it tells apart, so few agree
    that chance would give so few with a probability below `LEVEL` (one-sided binomial test against one half).
    """
    if len(agrees) < LEAST_LABELS:
        return False
    return float(stats.binom.cdf(sum(agrees), len(agrees), 0.5)) < LEVEL


def agreement_with(points: float, met_a: float | None, met_b: float | None, people_p_a: float) -> bool | None:
    """Whether an item prefers the response of a labelled pair that people prefer. None where one of them is undecided:
    the item has no verdict on a response or the same on both, or people are even.

    Args:
        points: of the item; with negative points, not meeting it is better.
    """
    if met_a is None or met_b is None or people_p_a == 0.5 or decided(met_a) == decided(met_b):
        return None
    prefers_a = decided(met_a) == (points > 0)
    return prefers_a == (people_p_a > 0.5)


def _asked(criterion: str, points: float) -> _Asked:
    words = _words(criterion)
    numbers = frozenset(filter(_is_number, words))
    negations = frozenset(word for word in words if word in _NEGATIONS or word.endswith("n't"))
    telling = frozenset(_stem(word) for word in words if word not in _EMPTY and word not in numbers | negations)
    return _Asked(telling, numbers, negations, points > 0)


def _words(criterion: str) -> list[str]:
    return re.findall(r"[^\W_]+(?:'[^\W_]+)?", criterion.casefold().replace("’", "'"))


def _stem(word: str) -> str:
    """The word without the endings of plurals and verbs, so that "names" and "named" are the same."""
    for ending in ("ing", "ed", "es", "s"):
        if word.endswith(ending) and len(word) > len(ending) + 3:
            return word.removesuffix(ending).rstrip("e")
    return word.rstrip("e")


def _is_number(word: str) -> bool:
    return word in _NUMBERS or any(map(str.isdigit, word))
