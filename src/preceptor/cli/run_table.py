"""A finished run in the terminal."""

import json
from pathlib import Path
from typing import Any

from rich.table import Table

from preceptor.core.numbers import estimate
from preceptor.display.screen import clock
from preceptor.display.terminal import Terminal, say_json
from preceptor.reports.run.page import headline, judge_doubts, test_prompts, warnings
from preceptor.runs.directory import RunDirectory

_MEASURES = {
    "heldout_score": "held-out score",
    "judge_score": "",  # the summary says what it is
    "kl": "KL to the base, nats",
    "reference_perplexity": "perplexity on references",
    "distinct_2": "distinct-2",
    "tokens_mean": "tokens per response",
}


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
        table.add_row(name, estimate(before[key]["overall"]), estimate(after[key]["overall"]))
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
