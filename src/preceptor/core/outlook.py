"""Estimates how long a run will still take, from its plan and the pace so far on this machine."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from statistics import median

SAMPLING, MEASURING, TRAINING = 1.0, 2.0, 2.7
"""Relative cost of a token that is sampled, measured (sampled, compared with the base, judged) or trained on, timed
with the quick start's model on a CPU. With these ratios, timed parts predict parts that have not been timed.
"""
TRAINING_STAGE = "training"
"""The stage whose steps are reported one by one."""


@dataclass(frozen=True)
class Part:
    """One kind of work in a run's plan."""

    stage: str
    """The beginning of its stage's name; for training steps, TRAINING_STAGE."""
    times: int
    """How often it is done; for training steps, how many there are."""
    tokens: int
    """Most tokens sampled each time; 0 if unknown until it has been timed."""
    cost: float
    """Cost of a token, relative to one that is only sampled."""
    every: int = 0
    """For work between training steps, the number of steps after which it is repeated; 0 for other work."""


@dataclass
class _Timed:
    part: Part
    done: int = 0
    seconds: list[float] = field(default_factory=list)


class Outlook:
    """Estimates the time left, from measured work alone.

    Args:
        clock: seconds since any fixed moment.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._parts: list[_Timed] = []
        self._stage: _Timed | None = None
        self._since = clock()
        self._sampled: float | None = None
        """Seconds per sampled token, from the progress of the stage under way."""
        self._worked = False
        """Whether the stage under way has sampled. In a resumed run a stage may only read what is on disk."""

    def plan(self, parts: Sequence[Part]) -> None:
        """Sets the plan of the run."""
        self._parts = [_Timed(part) for part in parts]
        self._stage, self._sampled = None, None

    def stage(self, name: str) -> None:
        """Records that a stage begins, and that the one before it is done. Its time counts only if it sampled."""
        now = self._clock()
        if self._stage is not None and not _is_steps(self._stage):
            self._stage.done += 1
            if self._worked or not self._stage.part.tokens:
                self._stage.seconds.append(now - self._since)
        self._stage = next((estimate for estimate in self._parts if _is_of(estimate, name)), None)
        self._since, self._worked = now, False

    def step(self, step: int, total: int) -> None:
        """Records that training step `step` of `total` is finished."""
        now = self._clock()
        for estimate in self._parts:
            if _is_steps(estimate):
                estimate.done = step + estimate.part.times - total
                estimate.seconds.append(now - self._since)
            elif estimate.part.every:
                estimate.done = max(estimate.done, step // estimate.part.every)
        self._since = now

    def sampled(self, done: int, total: int) -> None:
        """Records that `done` of the `total` responses of the stage under way are sampled."""
        self._worked = True
        if self._stage is not None and self._stage.part.tokens and done and not _is_steps(self._stage):
            self._sampled = (self._clock() - self._since) * total / done / self._stage.part.tokens

    def left(self) -> float | None:
        """Seconds until the plan is done; None if too little has been timed to say."""
        token = self._seconds_of_a_token()
        seconds = 0.0
        for estimate in self._parts:
            once = _once(estimate, token)
            remaining = max(0, estimate.part.times - estimate.done)
            if once is None:
                return None
            under_way = estimate is self._stage and not _is_steps(estimate) and remaining > 0
            passed = min(once, self._clock() - self._since) if under_way else 0.0
            seconds += remaining * once - passed
        return seconds if self._parts else None

    def _seconds_of_a_token(self) -> float | None:
        """Seconds per token that is only sampled: from finished parts, otherwise from the sampling under way."""
        timed = [
            median(estimate.seconds) / estimate.part.tokens / estimate.part.cost
            for estimate in self._parts
            if estimate.seconds and estimate.part.tokens
        ]
        return median(timed) if timed else self._sampled


def _is_steps(timed: _Timed) -> bool:
    return timed.part.stage == TRAINING_STAGE


def _is_of(timed: _Timed, stage: str) -> bool:
    """Whether the stage of that name belongs to the part."""
    return stage == TRAINING_STAGE if _is_steps(timed) else stage.startswith(timed.part.stage)


def _once(timed: _Timed, token: float | None) -> float | None:
    """Seconds to do a part once."""
    if timed.seconds:
        return median(timed.seconds)
    if token is None or not timed.part.tokens:
        return None
    return token * timed.part.tokens * timed.part.cost


def about(seconds: float) -> str:
    """A duration for people, no finer than it is known: "about 8 minutes"."""
    if seconds < 90:
        return f"about {max(10, 10 * round(seconds / 10))} seconds"
    if seconds < 90 * 60:
        return f"about {round(seconds / 60)} minutes"
    return f"about {seconds / 3600:.1f} hours"
