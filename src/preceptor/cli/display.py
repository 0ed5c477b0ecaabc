"""What a person sees while a run works, and when it is done. Progress goes to standard error."""

import json
import time
from pathlib import Path
from statistics import median
from types import TracebackType
from typing import Any

from rich.progress import BarColumn, Progress, SpinnerColumn, TaskID, TextColumn
from rich.table import Table

from preceptor.cli.terminal import Terminal, say_json
from preceptor.core.text import printable_line
from preceptor.evaluation.result import Evaluation
from preceptor.evaluation.snapshot import Snapshot
from preceptor.recipes.progress import Facts
from preceptor.recipes.run_directory import RunDirectory
from preceptor.reports.html import headline, warnings

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


class Display:
    """Progress of a run: bars on a terminal, a line per step elsewhere."""

    def __init__(self) -> None:
        self._console = Terminal(stderr=True)
        self._bars = Progress(
            SpinnerColumn(),
            TextColumn("{task.description}", markup=False),
            BarColumn(bar_width=8),
            TextColumn("{task.fields[facts]}", markup=False),
            console=self._console,
            transient=True,
            disable=not self._console.is_terminal,
        )
        self._task: TaskID = self._bars.add_task("starting", total=None, facts="")
        self._heldout: float | None = None
        self._since = time.perf_counter()
        self._durations: list[float] = []

    def __enter__(self) -> "Display":
        self._bars.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bars.stop()

    def stage(self, name: str) -> None:
        """A part of the work begins."""
        self._since = time.perf_counter()
        if name != "training":
            self._durations.clear()
        self._bars.update(self._task, description=printable_line(name), total=None, facts="")
        if not self._console.is_terminal and name != "training":
            self._console.print(name, highlight=False)

    def advance(self, done: int, total: int) -> None:
        """So much of the part is done."""
        self._bars.update(self._task, total=total, completed=done, facts=f"{done}/{total}")

    def step(self, step: int, total: int, facts: Facts) -> None:
        """A training step is finished."""
        now = time.perf_counter()
        self._durations.append(now - self._since)
        self._since = now
        rate = median(self._durations)
        parts = [f"{step}/{total}", f"{rate:.1f} s/step", f"{_clock(rate * (total - step))} left"]
        for name, (shown, form) in _SHOWN.items():
            if name in facts and not (name == "loss" and "kl" in facts):
                value = facts[name]
                parts.append(f"{shown} {'none' if value is None else format(value, form)}")
        parts += [] if self._heldout is None else [f"held-out {self._heldout:+.2f}"]
        # One space, a short bar and no more words on a terminal: all of it fits 80 columns.
        self._bars.update(self._task, description="step", total=total, completed=step, facts=" ".join(parts))
        if not self._console.is_terminal:
            self._console.print("step " + "  ".join(parts), highlight=False, soft_wrap=True)

    def measured(self, snapshot: Snapshot) -> None:
        """A checkpoint was measured."""
        overall = snapshot.heldout_score.overall
        self._heldout = None if overall is None else overall.value
        if overall is not None:
            self._console.print(
                f"step {snapshot.step}: held-out score {_estimate(overall.model_dump())}", highlight=False
            )

    def note(self, text: str) -> None:
        """Something a person should know."""
        self._console.print(text, highlight=False, soft_wrap=True)


def show_summary(summary: dict[str, Any], directory: RunDirectory, *, as_json: bool) -> None:
    """Prints the table of a finished run, or its summary as JSON."""
    if as_json:
        say_json(json.dumps(summary, indent=1, ensure_ascii=False))
        return
    before, after = summary["evaluation"]["before"], summary["evaluation"]["after"]
    table = Table(title=f"{summary['prompts']['held_out']} held-out prompts, 95 % intervals", title_justify="left")
    table.add_column("")
    table.add_column("before")
    table.add_column(f"after (step {summary['best_step']})")
    for key, name in _MEASURES.items():
        if key == "judge_score":
            if summary["judge_score_is"] is None:
                continue
            name = summary["judge_score_is"]  # noqa: PLW2901
        table.add_row(name, _estimate(before[key]["overall"]), _estimate(after[key]["overall"]))
    console = Terminal()
    console.print(table)
    kept = directory.path / "evaluation.json"
    evaluation = Evaluation.model_validate_json(kept.read_text(encoding="utf-8")) if kept.exists() else None
    console.print(headline(summary, evaluation), highlight=False)
    for warning in warnings(summary, evaluation):
        console.print(f"! {warning}", highlight=False)
    calls = f"{summary['judge_calls']} judge calls, {summary['judge_failures']} failed; " if summary["judge"] else ""
    if summary["reward_model"] is not None:
        console.print(f"reward model on held-out pairs: {summary['reward_model']['in_words']}", highlight=False)
    console.print(f"{calls}{_clock(summary['wall_s'])} in all", highlight=False, soft_wrap=True)
    for name, path in (("model", directory.best), ("merged", directory.merged), ("report", directory.report)):
        if path.exists():
            console.print(f"{name:7}{Path(path)}", highlight=False, soft_wrap=True)


def _estimate(estimate: dict[str, Any] | None) -> str:
    if estimate is None:
        return "none"
    interval = "" if estimate["low"] is None else f" [{estimate['low']:.2f}, {estimate['high']:.2f}]"
    return f"{estimate['value']:.2f}{interval}"


def _clock(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes}:{rest:02d}"
