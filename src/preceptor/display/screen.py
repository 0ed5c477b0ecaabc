"""What a person sees of work on standard error: a bar on a terminal; elsewhere lines with count, rate and time left."""

import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from statistics import median
from types import TracebackType
from typing import Self

from rich.progress import BarColumn, Progress, SpinnerColumn, TaskID, TextColumn

from preceptor.core.numbers import interval, number
from preceptor.core.outlook import TRAINING_STAGE, Outlook, Part, about
from preceptor.core.progress import Facts
from preceptor.core.text import printable_line
from preceptor.core.ticks import listening
from preceptor.display.pulse import PULSE, Pulse
from preceptor.display.terminal import Terminal

_SHOWN = {
    "reward": ("reward", "+.2f"),
    "loss": ("loss", ".3f"),
    "accuracy": ("accuracy", ".2f"),
    "kl": ("KL", ".1f"),
}
"""Facts of a step that are shown if present; the loss only if there is no reward."""


class Display:
    """Shows a task or a run: the stage under way, how much of it is done, and how long the rest will take.

    Without a terminal, each stage and each training step prints a line, and long work prints one every few seconds.

    Args:
        console: where to print; standard error by default.
        pulse: prints a line when nothing was printed for a while.
        now: seconds since any fixed moment.
    """

    def __init__(
        self, console: Terminal | None = None, pulse: Pulse = PULSE, now: Callable[[], float] = time.monotonic
    ) -> None:
        self.console = console or Terminal(stderr=True)
        self._pulse = pulse
        self._now = now
        self._outlook = Outlook(now)
        self._promised = False
        self._heldout: float | None = None
        self._stepped = now()
        self._durations: list[float] = []
        self._bars = Progress(
            SpinnerColumn(),
            TextColumn("{task.description}", markup=False),
            BarColumn(bar_width=8),
            TextColumn("{task.fields[facts]}", markup=False),
            console=self.console,
            transient=True,
            disable=not self.console.is_terminal,
        )
        self._task: TaskID = self._bars.add_task("starting", total=None, facts="")
        self._held = ExitStack()
        self._begin("starting")

    @property
    def is_terminal(self) -> bool:
        """Whether there is a bar."""
        return self.console.is_terminal

    def __enter__(self) -> Self:
        self._held.enter_context(listening(self.inner))
        self._held.enter_context(self._pulse.beating())
        self._held.enter_context(self._pulse.telling(self.words))
        self._bars.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bars.stop()
        self._held.close()

    def plan(self, parts: Sequence[Part]) -> None:
        """Sets the plan of the remaining work."""
        self._outlook.plan(parts)
        self._promised = False

    def stage(self, name: str) -> None:
        """Begins a stage and prints its name, except for training, which prints a line for each step."""
        self._outlook.stage(name)
        self._begin(name)
        self._stepped = self._now()
        if name == TRAINING_STAGE:
            return
        self._durations.clear()
        if not self.is_terminal:
            self._say(name)

    def advance(self, done: int, total: int, facts: str = "") -> None:
        """Shows that `done` of `total` pieces of the stage are finished."""
        self._done, self._total, self._facts = done, total, printable_line(facts)
        self._counted_at = self._now()
        self._inner.clear()
        self._bars.update(self._task, completed=done, total=total, facts=self._counted())
        if done >= total and not self.is_terminal:
            self._say(f"{done}/{total}{self._facts and f'  {self._facts}'}")

    def step(self, step: int, total: int, facts: Facts) -> None:
        """Shows a training step."""
        self._outlook.step(step, total)
        self._durations.append(self._now() - self._stepped)
        self._stepped = self._since = self._now()
        self._inner.clear()
        rate = median(self._durations)
        left = self._outlook.left()
        parts = [
            f"{step}/{total}",
            f"{rate:.1f} s/step",
            f"{clock(rate * (total - step) if left is None else left)} left",
            *_of_the_step(facts),
        ]
        parts += [] if self._heldout is None else [f"held-out {number(self._heldout, signed=True)}"]
        # One space, a short bar and no more words on a terminal: all of it fits 80 columns.
        self._bars.update(self._task, description="step", completed=step, total=total, facts=" ".join(parts))
        if not self.is_terminal:
            self._say("step " + "  ".join(parts))
        self._promise()

    def measured(self, step: int, facts: Facts) -> None:
        """Prints the held-out score of a checkpoint."""
        self._heldout = facts.get("heldout_score")
        if self._heldout is None:
            return
        low, high = facts.get("heldout_score_low"), facts.get("heldout_score_high")
        self._say(f"step {step}: held-out score {number(self._heldout)} {interval(low, high)}".rstrip())

    def note(self, text: str) -> None:
        """Prints something a person should know."""
        self._say(text)

    def inner(self, what: str, done: int, total: int) -> None:
        """Shows progress within the piece under way, as `core.ticks` reports it."""
        since, now = self._inner.get(what, _Inner(self._counted_at, self._counted_at, 0, 0)).since, self._now()
        self._inner.pop(what, None)  # the newest stands last
        self._inner[what] = _Inner(since if done < total else now, now, done, total)
        self._bars.update(self._task, facts=self._counted())
        if what == "sampling":
            self._outlook.sampled(done, total)
            self._promise()

    def words(self, seconds: float = 0.0) -> str | None:
        """A line on the work under way; None if the bar shows it."""
        if self.is_terminal:
            return None
        still = f"still {self._name}: {self._now() - self._since:.0f} s"
        text = f"{self._name}: {self._counted()}" if self._total else ", ".join(filter(None, [still, self._within()]))
        left = self._outlook.left()
        return f"{text}; {about(left)} left in all" if left else text

    def _begin(self, name: str) -> None:
        self._name = printable_line(name)
        self._since = self._counted_at = self._now()
        self._done, self._total, self._facts = 0, 0, ""
        self._inner: dict[str, _Inner] = {}
        self._bars.reset(self._task, description=self._name, total=None, facts="")

    def _counted(self) -> str:
        """How much is done, how fast, and how long the rest will take at that pace."""
        parts = [f"{self._done}/{self._total}"] if self._total else []
        if self._done and self._counted_at > self._since:
            pace = (self._counted_at - self._since) / self._done
            left = max(0.0, pace * (self._total - self._done) - (self._now() - self._counted_at))
            parts += [_rate(pace), f"{clock(left)} left"]
        return ", ".join(filter(None, [*parts, self._facts, self._within()]))

    def _within(self) -> str:
        """The unfinished work within the stage, the outermost first: `answers 32/64, sampling 8/32`."""
        unfinished = {what: inner for what, inner in self._inner.items() if inner.done < inner.total}
        parts = [f"{what} {inner.done}/{inner.total}" for what, inner in unfinished.items()]
        if not parts:
            return ""
        outermost = next(iter(unfinished.values()))
        return ", ".join([parts[0], *self._pace(outermost), *parts[1:]])

    def _pace(self, inner: "_Inner") -> list[str]:
        """The rate of a piece and its time left, unless those of the stage as a whole are known."""
        if self._done or not inner.done or inner.counted_at <= inner.since:
            return []
        pace = (inner.counted_at - inner.since) / inner.done
        left = max(0.0, pace * (inner.total - inner.done) - (self._now() - inner.counted_at))
        return [_rate(pace), f"{clock(left)} left"]

    def _promise(self) -> None:
        """Prints how long the work will take, once, as soon as enough of it has been timed."""
        if not self._promised and (left := self._outlook.left()) is not None:
            self._promised = True
            self._say(f"{about(left)} on this machine")

    def _say(self, text: str) -> None:
        self._pulse.spoke()
        self.console.print(text, highlight=False, soft_wrap=True)


@dataclass(frozen=True)
class _Inner:
    """Work within a piece of the stage: when it began, when it was last counted, and how much of it is done."""

    since: float
    counted_at: float
    done: int
    total: int


def _of_the_step(facts: Facts) -> list[str]:
    parts: list[str] = []
    for name, (shown, form) in _SHOWN.items():
        if name in facts and not (name == "loss" and "kl" in facts):
            value = facts[name]
            parts.append(f"{shown} {'none' if value is None else format(value, form)}")
    return parts


def _rate(pace: float) -> str:
    """A rate from the seconds that one piece takes."""
    return f"{1 / pace:.1f}/s" if pace <= 1 else f"{pace:.1f} s each"


def clock(seconds: float) -> str:
    """A duration in minutes and seconds."""
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes}:{rest:02d}"
