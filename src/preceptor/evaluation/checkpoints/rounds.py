"""When training in rounds should end, and which round's model to keep, by the gain on validation prompts."""

import math
from collections.abc import Sequence

from preceptor.core.numbers import estimate, number
from preceptor.core.types import Frozen
from preceptor.evaluation.intervals import Estimate


class RoundGain(Frozen):
    """What the policy that a round kept has gained over the first policy."""

    number: int
    """From 1."""
    gain: Estimate | None
    """Mean change of the held-out score on the validation prompts, from the first policy, paired by prompt; None if
    nothing could be measured."""
    broken: str | None = None
    """The bound that the policy breaks beside the first one, in words; None if it breaks none."""
    unchanged: bool = False
    """Whether the round kept the policy that it began with."""

    @property
    def lower_bound(self) -> float:
        """The lower end of the gain's interval; minus infinity without one, and if a bound is broken."""
        if self.broken is not None or self.gain is None or self.gain.low is None:
            return -math.inf
        return self.gain.low

    @property
    def gained(self) -> bool:
        """Whether the policy scored higher than the first one on average, and broke no bound."""
        return self.broken is None and self.gain is not None and self.gain.value > 0


def best_round(rounds: Sequence[RoundGain]) -> int:
    """The number of the round to keep: of those that gained, the one whose gain has the highest lower bound, the
    earliest if several are equal. 0 if none gained: the first policy is kept, as a single run keeps step 0.
    """
    gained = [each for each in rounds if each.gained]
    return _highest(gained).number if gained else 0


def _highest(rounds: Sequence[RoundGain]) -> RoundGain:
    """The round whose gain has the highest lower bound; the earliest if several are equal."""
    return max(rounds, key=lambda each: (each.lower_bound, -each.number))


def why_no_further(rounds: Sequence[RoundGain]) -> str | None:
    """Why training should end after the newest of these rounds, in words; None to go on.

    The first round has nothing to rise above: it ends training only if it broke a bound or learned nothing.
    """
    *earlier, newest = rounds
    if newest.broken is not None:
        return f"round {newest.number} broke a bound: {newest.broken}"
    if newest.unchanged:
        return f"round {newest.number} kept the policy that it began with"
    if not earlier or newest.lower_bound > max(each.lower_bound for each in earlier):
        return None
    if newest.gain is None or newest.gain.low is None:
        return f"the gain after round {newest.number} has no lower bound: {estimate(newest.gain, signed=True)}"
    best = _highest(earlier)
    return (
        f"the lower bound of the gain no longer rose: {number(newest.gain.low, signed=True)} after round "
        f"{newest.number}, {number(best.lower_bound, signed=True)} after round {best.number}"
    )
