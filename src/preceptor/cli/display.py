"""What a person sees while a run works, and when it is done. Progress goes to standard error."""

import json
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import median
from typing import Any

from rich.table import Table

from preceptor.cli.pulse import PULSE, Pulse
from preceptor.cli.screen import Screen, clock
from preceptor.cli.terminal import Terminal, say_json
from preceptor.evaluation.snapshot import Snapshot
from preceptor.reports.run.page import headline, judge_doubts, test_prompts, warnings
from preceptor.runs.directory import RunDirectory
from preceptor.runs.outlook import TRAINING_STAGE, Outlook, Part, about
from preceptor.runs.progress import Facts

_MEASURES = {
    "heldout_score": "held-out score",
    "judge_score": "",  # the summary says what it is
    "kl": "KL to the base, nats",
    "reference_perplexity": "perplexity on references",
    "distinct_2": "distinct-2",
    "tokens_mean": "tokens per response",
}
_SHOWN = {
    "reward": ("reward", "+.2f"),
    "loss": ("loss", ".3f"),
    "accuracy": ("accuracy", ".2f"),
    "kl": ("KL", ".1f"),
}
"""Facts of a step that are shown, where it has them; the loss only where it has no reward."""


class Display(Screen):
    """Progress of a run: a bar on a terminal, a line per step elsewhere, and how long the rest of it will take."""

    def __init__(
        self, console: Terminal | None = None, pulse: Pulse = PULSE, now: Callable[[], float] = time.monotonic
    ) -> None:
        super().__init__(console, pulse, now, bar=8)
        self._outlook = Outlook(now)
        self._promised = False
        self._heldout: float | None = None
        self._stepped = now()
        self._now = now
        self._durations: list[float] = []

    def plan(self, parts: Sequence[Part]) -> None:
        """What the run will do from here on."""
        self._outlook.plan(parts)
        self._promised = False

    def stage(self, name: str) -> None:
        """A part of the work begins."""
        self._outlook.stage(name)
        self._stepped = self._now()
        if name == TRAINING_STAGE:
            self.begin(name)  # each of its steps has a line
            return
        self._durations.clear()
        super().stage(name)

    def step(self, step: int, total: int, facts: Facts) -> None:
        """A training step is finished."""
        self._outlook.step(step, total)
        self._durations.append(self._now() - self._stepped)
        self._stepped = self._now()
        rate = median(self._durations)
        left = self._outlook.left()
        parts = [
            f"{step}/{total}",
            f"{rate:.1f} s/step",
            f"{clock(rate * (total - step) if left is None else left)} left",
        ]
        for name, (shown, form) in _SHOWN.items():
            if name in facts and not (name == "loss" and "kl" in facts):
                value = facts[name]
                parts.append(f"{shown} {'none' if value is None else format(value, form)}")
        parts += [] if self._heldout is None else [f"held-out {self._heldout:+.2f}"]
        # One space, a short bar and no more words on a terminal: all of it fits 80 columns.
        self.show("step", step, total, " ".join(parts))
        if not self.is_terminal:
            self.say("step " + "  ".join(parts))
        self._promise()

    def measured(self, snapshot: Snapshot) -> None:
        """A checkpoint was measured."""
        overall = snapshot.heldout_score.overall
        self._heldout = None if overall is None else overall.value
        if overall is not None:
            self.say(f"step {snapshot.step}: held-out score {_estimate(overall.model_dump())}")

    def note(self, text: str) -> None:
        """Something a person should know."""
        self.say(text)

    def inner(self, what: str, done: int, total: int) -> None:
        """A piece of the work under way is done."""
        super().inner(what, done, total)
        if what == "sampling":
            self._outlook.sampled(done, total)
            self._promise()

    def words(self, seconds: float = 0.0) -> str | None:
        """What is under way, and how long the run will still take where that is known."""
        text, left = super().words(seconds), self._outlook.left()
        return text if text is None or not left else f"{text}; {about(left)} left in all"

    def _promise(self) -> None:
        """Says once, as soon as something has been timed, how long the run will take here."""
        if not self._promised and (left := self._outlook.left()) is not None:
            self._promised = True
            self.say(f"{about(left)} on this machine")


def show_summary(summary: dict[str, Any], directory: RunDirectory, *, as_json: bool) -> None:
    """Prints the table of a finished run, or its summary as JSON."""
    if as_json:
        say_json(json.dumps(summary, indent=1, ensure_ascii=False))
        return
    before, after = summary["evaluation"]["before"], summary["evaluation"]["after"]
    table = Table(title=f"{test_prompts(summary)} test prompts, 95 % intervals", title_justify="left")
    table.add_column("")
    table.add_column("before")
    table.add_column(f"after (step {summary['best_step']})")
    for key, name in _MEASURES.items():
        if key == "judge_score":
            if summary["judge_score_is"] is None:
                continue
            name = summary["judge_score_is"]  # noqa: PLW2901
        if key == "heldout_score" and summary["heldout_score_is"] is None:
            continue
        table.add_row(name, _estimate(before[key]["overall"]), _estimate(after[key]["overall"]))
    console = Terminal()
    evaluation = directory.read_evaluation()
    doubts = judge_doubts(summary, evaluation)
    for doubt in doubts:
        console.print(f"! {doubt}", highlight=False)
    console.print(table)
    console.print(headline(summary, evaluation), highlight=False)
    for warning in warnings(summary, evaluation)[len(doubts) :]:
        console.print(f"! {warning}", highlight=False)
    calls = f"{summary['judge_calls']} judge calls, {summary['judge_failures']} failed; " if summary["judge"] else ""
    if summary["reward_model"] is not None:
        console.print(f"reward model on held-out pairs: {summary['reward_model']['in_words']}", highlight=False)
    console.print(f"{calls}{clock(summary['wall_s'])} in all", highlight=False, soft_wrap=True)
    for name, path in (("model", directory.best), ("merged", directory.merged), ("report", directory.report)):
        if path.exists():
            console.print(f"{name:7}{Path(path)}", highlight=False, soft_wrap=True)


def _estimate(estimate: dict[str, Any] | None) -> str:
    if estimate is None:
        return "none"
    interval = "" if estimate["low"] is None else f" [{estimate['low']:.2f}, {estimate['high']:.2f}]"
    return f"{estimate['value']:.2f}{interval}"
