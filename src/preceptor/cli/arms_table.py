"""The table of arms in the terminal."""

import json
from pathlib import Path
from typing import Any

from rich.table import Table

from preceptor.core.numbers import estimate, number
from preceptor.display.terminal import Terminal, say_json
from preceptor.reports.arms.page import headline, warnings
from preceptor.reports.run.page import test_prompts


def show_arms(summary: dict[str, Any], path: Path, *, as_json: bool) -> None:
    """Prints what the arms came to, or their summary as JSON."""
    if as_json:
        say_json(json.dumps(summary, indent=1, ensure_ascii=False))
        return
    table = Table(title=f"{test_prompts(summary)} test prompts, 95% intervals", title_justify="left")
    for column in ("", "held-out score", "gain", "judge", "KL", "perplexity", "calls", "seconds"):
        table.add_column(column, justify="left" if not column else "right")
    before = summary["arms"][0]["summary"]["evaluation"]["before"]
    shown = estimate(before["heldout_score"]["overall"])
    table.add_row("before training", shown, "", _value(before["judge_score"]), *[""] * 4)
    for arm in summary["arms"]:
        run, after = arm["summary"], arm["summary"]["evaluation"]["after"]
        ratio = arm["perplexity_ratio"]
        table.add_row(
            arm["name"],
            estimate(after["heldout_score"]["overall"]),
            estimate(arm["gain"]),
            _value(after["judge_score"]),
            _value(after["kl"], 1),
            number(ratio) + ("" if ratio is None else "×"),
            str(run["judge_calls"]),
            number(run["wall_s"], 0),
        )
    console = Terminal()
    console.print(table)
    for line in (headline(summary), *warnings(summary)):
        console.print(line, highlight=False)
    console.print(f"report {path / 'report.html'}", highlight=False, soft_wrap=True)


def _value(measure: dict[str, Any], digits: int = 2) -> str:
    return number(measure["overall"] and measure["overall"]["value"], digits)
