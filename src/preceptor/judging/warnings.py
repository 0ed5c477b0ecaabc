"""Reasons to doubt a judge, from how it answered; the same for labels, audits, evaluations and runs.

A warning is given if chance does not explain the observation: if the whole 95 % interval of a share (Wilson 1927, with
prompts as the trials) lies beyond the bound. So eight comparisons give a warning only of gross faults. Failures are
counted, not estimated: a share above `FAILURE_BOUND` is too many, unless there is only one failure.
"""

import math
from typing import Literal, TypeAlias

from pydantic import Field

from preceptor.core.numbers import percent, points
from preceptor.core.types import Frozen

Kind: TypeAlias = Literal[
    "position", "choice_mass", "near_half", "failures", "length", "tie", "related", "self_rewarding"
]
POSITION_BOUND = 0.3
"""Share of comparisons in which the same position wins after a swap. Lee et al. 2023 found 18% for a large judge and
56 % for a small one."""
ONE_ORDER_BOUND = 0.7
"""Share of comparisons shown in one order in which one position wins."""
MASS_BOUND = 0.5
"""Total probability of the choices; below it, the judge wanted to answer something else."""
NEAR = 0.05
"""Distance from one half within which a preference carries no information."""
MOST = 0.5
"""Share of presentations with low mass, or of preferences near one half, above which a warning is given."""
FAILURE_BOUND = 0.02
LENGTH_BOUND = 0.8
"""Share of comparisons in which the longer response wins, or the shorter one."""
_Z = 1.959964
"""Of a 95 % interval."""


class Count(Frozen):
    """How often something was observed, out of how many times it could have been."""

    hits: float
    """A comparison that neither side won adds one half."""
    n: int
    prompts: int
    """Number of independent trials: comparisons of the same prompt are not independent."""

    @property
    def share(self) -> float:
        """Hits divided by n; 0 if n is 0."""
        return self.hits / self.n if self.n else 0.0

    @property
    def at_least(self) -> float:
        """Lower end of Wilson's 95 % interval; 0 if there are no prompts."""
        if not self.prompts:
            return 0.0
        z2, p = _Z * _Z / self.prompts, self.share
        reach = _Z * math.sqrt((p * (1.0 - p) + z2 / 4) / self.prompts)
        return max(0.0, (p + z2 / 2 - reach) / (1.0 + z2))

    @property
    def opposite(self) -> "Count":
        """How often it was not observed."""
        return Count(hits=self.n - self.hits, n=self.n, prompts=self.prompts)


NOTHING = Count(hits=0.0, n=0, prompts=0)


class JudgeConduct(Frozen):
    """How a judge answered, as far as it can be measured without people's labels."""

    unit: Literal["comparisons", "calls"] = "comparisons"
    """The unit of failures: calls if the judge scored responses."""
    failed: Count = NOTHING
    """Failures among all questions to the judge."""
    failures: dict[str, int] = Field(default_factory=dict[str, int])
    """By reason."""
    same_position: Count = NOTHING
    """Comparisons shown in both orders in which the same position won after the swap."""
    first_shown: Count = NOTHING
    """Presentations in which the response shown first won."""
    low_mass: Count = NOTHING
    """Presentations in which the choices together had a probability below `MASS_BOUND`."""
    choice_mass: float | None = None
    """Mean probability of the choices together."""
    near_half: Count = NOTHING
    """Preferences within `NEAR` of one half."""
    longer: Count = NOTHING
    """Comparisons of responses of different lengths in which the longer one won."""
    tie_likeliest: Count = NOTHING
    """Comparisons in which a tie is the likeliest answer, although the preference leans to a response."""


class JudgeWarning(Frozen):
    """One reason to doubt a judge."""

    kind: Kind
    sentence: str
    """Without a full stop; it begins with the judge's name."""


def judge_warnings(conduct: JudgeConduct, judge: str = "the judge") -> tuple[JudgeWarning, ...]:
    """Reasons to doubt a judge, the gravest first.

    Args:
        judge: the judge's name in sentences.
    """
    said: tuple[tuple[Kind, str | None], ...] = (
        ("position", _position(conduct)),
        ("choice_mass", _mass(conduct)),
        ("near_half", _near_half(conduct)),
        ("failures", _failures(conduct)),
        ("length", _length(conduct)),
        ("tie", _tie(conduct)),
    )
    return tuple(JudgeWarning(kind=kind, sentence=f"{judge} {what}") for kind, what in said if what)


def _position(conduct: JudgeConduct) -> str | None:
    same, first = conduct.same_position, conduct.first_shown
    place, wins = ("first", first) if first.share >= 0.5 else ("second", first.opposite)
    if same.at_least > POSITION_BOUND:
        often = f" (the response shown {place} wins {percent(wins.share)} of presentations)"
        shown = often if wins.at_least > 0.5 else ""
        return (
            f"keeps to a position on {percent(same.share)} of {same.n} comparisons when the responses are swapped: "
            f"there it judges places, not responses{shown}"
        )
    if not same.n and wins.at_least > ONE_ORDER_BOUND:
        return (
            f"prefers the response shown {place} in {percent(wins.share)} of {wins.n} presentations, and no "
            "comparison was shown in both orders: position alone may decide"
        )
    return None


def _mass(conduct: JudgeConduct) -> str | None:
    low = conduct.low_mass
    if low.at_least <= MOST or conduct.choice_mass is None:
        return None
    return (
        f"wanted to answer something else: the choices that it was offered have a probability of "
        f"{conduct.choice_mass:.2g} together, on average over {low.n} answers"
    )


def _near_half(conduct: JudgeConduct) -> str | None:
    near = conduct.near_half
    if near.at_least <= MOST:
        return None
    what = "preferences" if conduct.unit == "comparisons" else "probabilities"
    return (
        f"hardly tells responses apart: {percent(near.share)} of its {near.n} {what} are within "
        f"{points(NEAR)} points of one half"
    )


def _failures(conduct: JudgeConduct) -> str | None:
    failed = conduct.failed
    if failed.hits < 2 or failed.share <= FAILURE_BOUND:
        return None
    reasons = ", ".join(f"{count} {reason.replace('_', ' ')}" for reason, count in conduct.failures.items())
    of = f"{failed.hits:.0f} of {failed.n} {conduct.unit}"
    said = f"failed on {of} ({percent(failed.share, 1)}{': ' if reasons else ''}{reasons})"
    if 2 * conduct.failures.get("unfinished_thought", 0) >= failed.hits:
        said += ": its tokens run out while it thinks; allow more tokens, or a higher level of thinking"
    return said


def _length(conduct: JudgeConduct) -> str | None:
    longer = conduct.longer
    side, wins = ("longer", longer) if longer.share >= 0.5 else ("shorter", longer.opposite)
    if wins.at_least <= LENGTH_BOUND:
        return None
    return (
        f"prefers the {side} response in {percent(wins.share)} of {wins.n} comparisons whose lengths differ: length "
        "may be all that it judges"
    )


def _tie(conduct: JudgeConduct) -> str | None:
    ties = conduct.tie_likeliest
    if not ties.hits:
        return None
    return (
        f"gives a tie as its likeliest answer in {ties.hits:.0f} of {ties.n} comparisons: each of them counts for the "
        "response that it leans to"
    )
