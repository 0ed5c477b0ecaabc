"""What is printed when counted work is done."""

import json
from pathlib import Path
from typing import Any

from rich.table import Table

from preceptor.core.numbers import dollars, number, percent
from preceptor.display.terminal import Terminal, say, say_json


def show_dry_run(counted: dict[str, Any], *, as_json: bool) -> None:
    """Prints what labelling would ask."""
    if as_json:
        say_json(json.dumps(counted, indent=1))
        return
    cost = "not known: give --prices" if counted["cost_usd"] is None else dollars(counted["cost_usd"])
    say(f"{counted['rows']} rows, {counted['malformed']} malformed")
    say(f"{counted['calls']} calls, about {counted['prompt_tokens']:,} prompt tokens and at most ", end="")
    say(f"{counted['completion_tokens']:,} completion tokens")
    say(f"cost: {cost} (tokens estimated on {counted['estimated_on']} comparisons)")
    if counted["assumed"]:
        say(f"note: {counted['assumed']}")


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
    table.add_row("mean probability of the chosen", number(counts["mean_p_chosen"], 3))
    if counts["undecided"]:
        table.add_row("undecided: p is 0.5, and chosen is a", str(counts["undecided"]))
    if counts["likeliest_ties"]:
        table.add_row("a tie is likeliest, and chosen what it leans to", str(counts["likeliest_ties"]))
    table.add_row("first shown wins", percent(counts["first_position_rate"]))
    table.add_row("same position wins after the swap", percent(counts["position_bias"]))
    table.add_row("calls", f"{summary['calls_in_this_process']} now, {ledger['calls']} in all")
    table.add_row("tokens", f"{ledger['prompt_tokens']:,} + {ledger['completion_tokens']:,}")
    cost = dollars(ledger["cost_usd"], 4) + (f", {ledger['unpriced']} calls unpriced" if ledger["unpriced"] else "")
    table.add_row("cost", cost)
    console.print(table)
    for note in summary["notes"]:
        console.print(f"note: {note}", highlight=False, soft_wrap=True)
    console.print(f"dataset {out}", highlight=False, soft_wrap=True)


def _reasons(reasons: dict[str, int]) -> str:
    return f"({', '.join(f'{count} {reason}' for reason, count in reasons.items())})" if reasons else ""
