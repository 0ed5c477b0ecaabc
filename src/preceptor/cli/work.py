"""Progress of counted work, and what is printed when it is done. Progress goes to standard error."""

import json
from pathlib import Path
from types import TracebackType
from typing import Any

from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    SpinnerColumn,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.table import Table

from preceptor.cli.terminal import Terminal, say, say_json
from preceptor.core.text import printable_line


class Work:
    """A bar with rate and time left on a terminal; a line now and then elsewhere."""

    def __init__(self) -> None:
        self._console = Terminal(stderr=True)
        self._bars = Progress(
            SpinnerColumn(),
            TextColumn("{task.description}", markup=False),
            BarColumn(bar_width=12),
            MofNCompleteColumn(),
            TextColumn("{task.fields[rate]}"),
            TimeElapsedColumn(),
            TextColumn("left"),
            TimeRemainingColumn(),
            TextColumn("{task.fields[facts]}", markup=False),
            console=self._console,
            transient=True,
            disable=not self._console.is_terminal,
        )
        self._task: TaskID = self._bars.add_task("starting", total=None, rate="", facts="")
        self._shown = 0.0

    def __enter__(self) -> "Work":
        self._bars.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bars.stop()

    def stage(self, name: str) -> None:
        """A part of the work begins."""
        self._bars.reset(self._task, description=printable_line(name), total=None, rate="", facts="")
        self._shown = 0.0
        if not self._console.is_terminal:
            self._console.print(name, highlight=False)

    def advance(self, done: int, total: int, facts: str) -> None:
        """So many of all are done."""
        task = self._bars.tasks[self._task]
        speed = task.speed or task.finished_speed
        rate = f"{speed:.1f}/s" if speed else ""
        self._bars.update(self._task, completed=done, total=total, rate=rate, facts=printable_line(facts))
        if not self._console.is_terminal and (done / total >= self._shown + 0.1 or done == total):
            self._shown = done / total
            self._console.print(f"{done}/{total}  {facts}", highlight=False)


def show_dry_run(counted: dict[str, Any], *, as_json: bool) -> None:
    """Prints what labelling would ask."""
    if as_json:
        say_json(json.dumps(counted, indent=1))
        return
    cost = "not known: give --prices" if counted["cost_usd"] is None else f"${counted['cost_usd']:.2f}"
    say(f"{counted['rows']} rows, {counted['malformed']} malformed")
    say(f"{counted['calls']} calls, about {counted['prompt_tokens']:,} prompt tokens and at most ", end="")
    say(f"{counted['completion_tokens']:,} completion tokens")
    say(f"cost: {cost} (tokens estimated on {counted['estimated_on']} comparisons)")


def show_labels(summary: dict[str, Any], out: Path, *, as_json: bool) -> None:
    """Prints what became of a dataset."""
    if as_json:
        say_json(json.dumps(summary, indent=1, ensure_ascii=False))
        return
    counts, ledger = summary["counts"], summary["ledger"]
    console = Terminal()
    for warning in summary["judge_warnings"]:
        console.print(f"! {warning['sentence']}.", highlight=False)
    table = Table(show_header=False)
    table.add_row("preferences", str(counts["preferences"]))
    table.add_row("failures", f"{counts['failures']} {_reasons(counts['failures_by_reason'])}".strip())
    table.add_row("malformed rows", str(counts["malformed"]))
    if summary["for_people"] is not None:
        table.add_row("for people to label", f"{summary['for_people']} in for_people.jsonl")
    table.add_row("mean probability of the chosen", _number(counts["mean_p_chosen"]))
    if counts["undecided"]:
        table.add_row("undecided: p is 0.5, and chosen is a", str(counts["undecided"]))
    if counts["likeliest_ties"]:
        table.add_row("a tie is likeliest, and chosen what it leans to", str(counts["likeliest_ties"]))
    table.add_row("first shown wins", percent(counts["first_position_rate"]))
    table.add_row("same position wins after the swap", percent(counts["position_bias"]))
    table.add_row("calls", f"{summary['calls_in_this_process']} now, {ledger['calls']} in all")
    table.add_row("tokens", f"{ledger['prompt_tokens']:,} + {ledger['completion_tokens']:,}")
    cost = f"${ledger['cost_usd']:.4f}" + (f", {ledger['unpriced']} calls unpriced" if ledger["unpriced"] else "")
    table.add_row("cost", cost)
    console.print(table)
    console.print(f"dataset {out}", highlight=False, soft_wrap=True)


def _reasons(reasons: dict[str, int]) -> str:
    return f"({', '.join(f'{count} {reason}' for reason, count in reasons.items())})" if reasons else ""


def _number(value: float | None) -> str:
    return "none" if value is None else f"{value:.3f}"


def percent(value: float | None) -> str:
    """A share for people; "none" where there is none."""
    return "none" if value is None else f"{100 * value:.0f} %"
