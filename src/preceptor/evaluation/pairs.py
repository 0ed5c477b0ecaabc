"""A judged pair of two policies' responses to one prompt: what win rates, ratings and length control are computed from.

A pair that the judge failed on is not among them: a failure is counted apart, never as a tie.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field


@dataclass(frozen=True)
class JudgedPair:
    """One comparison of two policies and what a judge made of it."""

    prompt_id: str
    cohort: str
    policy_a: str
    """Name of the policy that gave response a."""
    policy_b: str
    p_a: float
    """Probability that a is the better one, a tie counted half; both orders averaged where both were shown."""
    length_a: int
    """Characters of the response, of a trajectory all its messages'."""
    length_b: int
    by_order: dict[str, float] = field(default_factory=dict)
    """p_a in the order "ab" (a first) and in "ba"; empty where the judge saw no order, as a rule for single texts."""
    by_principle: dict[str, float] = field(default_factory=dict)
    """p_a by principle, where the judge was shown one at a time."""

    def swapped(self) -> "JudgedPair":
        """The same with the policies' places exchanged."""
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
    found: list[JudgedPair] = []
    for pair in pairs:
        if (pair.policy_a, pair.policy_b) == (policy, against):
            found.append(pair)
        elif (pair.policy_a, pair.policy_b) == (against, policy):
            found.append(pair.swapped())
    return found


def policies_of(pairs: Sequence[JudgedPair]) -> tuple[str, ...]:
    """The policies' names, in the order in which they first appear."""
    return tuple(dict.fromkeys(name for pair in pairs for name in (pair.policy_a, pair.policy_b)))


def by_prompt(pairs: Iterable[JudgedPair]) -> dict[str, list[JudgedPair]]:
    """The pairs of each prompt: what is resampled together."""
    groups: dict[str, list[JudgedPair]] = {}
    for pair in pairs:
        groups.setdefault(pair.prompt_id, []).append(pair)
    return groups
