"""Judged pairs of two policies' responses to one prompt, from which win rates, ratings and length control are computed.

Pairs that the judge failed on are not among them: a failure is counted separately, never as a tie.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field


@dataclass(frozen=True)
class JudgedPair:
    """One comparison of two policies, with the judge's preference."""

    prompt_id: str
    cohort: str
    policy_a: str
    """Name of the policy that gave response a."""
    policy_b: str
    p_a: float
    """Probability that a is better, with a tie as half; the mean of both orders if both were shown."""
    length_a: int
    """Characters of the response; for a trajectory, of all its messages."""
    length_b: int
    by_order: dict[str, float] = field(default_factory=dict)
    """p_a in the order "ab" (a first) and in "ba"; empty if there was no order, as for a rule for single texts."""
    by_principle: dict[str, float] = field(default_factory=dict)
    """p_a by principle, if the judge was shown one principle at a time."""

    def swapped(self) -> "JudgedPair":
        """The same pair with the two policies exchanged."""
        return JudgedPair(
            prompt_id=self.prompt_id,
            cohort=self.cohort,
            policy_a=self.policy_b,
            policy_b=self.policy_a,
            p_a=1.0 - self.p_a,
            length_a=self.length_b,
            length_b=self.length_a,
            by_order={{"ab": "ba", "ba": "ab"}[order]: 1.0 - p for order, p in self.by_order.items()},
            by_principle={principle: 1.0 - p for principle, p in self.by_principle.items()},
        )


def between(pairs: Iterable[JudgedPair], policy: str, against: str) -> list[JudgedPair]:
    """The pairs of two policies, turned so that `policy` is a."""
    turned: list[JudgedPair] = []
    for pair in pairs:
        if (pair.policy_a, pair.policy_b) == (policy, against):
            turned.append(pair)
        elif (pair.policy_a, pair.policy_b) == (against, policy):
            turned.append(pair.swapped())
    return turned


def policies_of(pairs: Sequence[JudgedPair]) -> tuple[str, ...]:
    """The policies' names, in the order in which they first appear."""
    return tuple(dict.fromkeys(name for pair in pairs for name in (pair.policy_a, pair.policy_b)))


def by_prompt(pairs: Iterable[JudgedPair]) -> dict[str, list[JudgedPair]]:
    """The pairs of each prompt, which are resampled together."""
    groups: dict[str, list[JudgedPair]] = {}
    for pair in pairs:
        groups.setdefault(pair.prompt_id, []).append(pair)
    return groups
