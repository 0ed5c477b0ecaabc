"""Progress as a person sees it, on standard error: a bar on a terminal, lines elsewhere."""

import time
from collections.abc import Callable
from contextlib import ExitStack
from types import TracebackType
from typing import Self

from rich.progress import BarColumn, Progress, SpinnerColumn, TaskID, TextColumn

from preceptor.cli.pulse import PULSE, Pulse
from preceptor.cli.terminal import Terminal
from preceptor.core.text import printable_line
from preceptor.core.ticks import listening


class Screen:
    """Shows the stage under way and how much of it is done.

    Without a terminal, each stage prints a line as it begins, and its progress after some seconds of silence.

    Args:
        console: where to print; standard error by default.
        pulse: breaks the silence.
        clock: seconds since any fixed moment.
        bar: width of the bar in characters.
    """

    def __init__(
        self,
        console: Terminal | None = None,
        pulse: Pulse = PULSE,
        clock: Callable[[], float] = time.monotonic,
        bar: int = 12,
    ) -> None:
        self.console = console or Terminal(stderr=True)
        self._pulse = pulse
        self._clock = clock
        self._bars = Progress(
            SpinnerColumn(),
            TextColumn("{task.description}", markup=False),
            BarColumn(bar_width=bar),
            TextColumn("{task.fields[facts]}", markup=False),
            console=self.console,
            transient=True,
            disable=not self.console.is_terminal,
        )
        self._task: TaskID = self._bars.add_task("starting", total=None, facts="")
        self._held = ExitStack()
        self.begin("starting")

    @property
    def is_terminal(self) -> bool:
        """Whether there is a bar."""
        return self.console.is_terminal

    def __enter__(self) -> Self:
        self._held.enter_context(listening(self.inner))
        self._held.enter_context(self._pulse.telling(self.words))
        self._bars.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bars.stop()
        self._held.close()

    def stage(self, name: str) -> None:
        """Begins a stage, and announces it."""
        self.begin(name)
        if not self.is_terminal:
            self.say(name)

    def advance(self, done: int, total: int, facts: str = "") -> None:
        """Records that `done` of `total` pieces of the stage are done."""
        self._done, self._total, self._facts, self._within = done, total, printable_line(facts), ""
        self._counted_at = self._clock()
        self._bars.update(self._task, completed=done, total=total, facts=self._counted())
        if done >= total and not self.is_terminal:
            self.say(f"{done}/{total}{self._facts and f'  {self._facts}'}")

    def show(self, description: str, done: int, total: int, facts: str) -> None:
        """Sets the bar's description, counts and facts as given."""
        self._within = ""
        self._since = self._clock()
        self._bars.update(self._task, description=description, completed=done, total=total, facts=facts)

    def say(self, text: str) -> None:
        """Prints a line."""
        self._pulse.spoke()
        self.console.print(text, highlight=False, soft_wrap=True)

    def words(self, seconds: float = 0.0) -> str | None:
        """A line on the work under way; None if the bar shows it."""
        if self.is_terminal:
            return None
        if self._total:
            return f"{self._name}: {self._counted()}"
        within = f", {self._within}" if self._within else ""
        return f"still {self._name}: {self._clock() - self._since:.0f} s{within}"

    def begin(self, name: str) -> None:
        """Begins a stage without announcing it."""
        self._name = printable_line(name)
        self._since = self._counted_at = self._clock()
        self._done, self._total, self._facts, self._within = 0, 0, "", ""
        self._bars.reset(self._task, description=self._name, total=None, facts="")

    def inner(self, what: str, done: int, total: int) -> None:
        """Records progress within the piece under way."""
        self._within = f"{what} {done}/{total}" if done < total else ""
        self._bars.update(self._task, facts=self._counted())

    def _counted(self) -> str:
        """How much is done, how fast, and how long the rest will take at that pace."""
        parts = [f"{self._done}/{self._total}"] if self._total else []
        if self._done and self._counted_at > self._since:
            each = (self._counted_at - self._since) / self._done
            left = max(0.0, each * (self._total - self._done) - (self._clock() - self._counted_at))
            parts += [f"{1 / each:.1f}/s" if each <= 1 else f"{each:.1f} s each", f"{clock(left)} left"]
        return ", ".join([*parts, *filter(None, (self._facts, self._within))])


def clock(seconds: float) -> str:
    """A duration in minutes and seconds."""
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes}:{rest:02d}"
