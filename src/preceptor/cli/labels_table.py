"""What is printed when a dataset is labelled."""

from dataclasses import replace
from pathlib import Path
from typing import Any

from preceptor.core.numbers import dollars, number, percent
from preceptor.display.table import Table, pairs


def dry_run_text(counted: dict[str, Any]) -> str:
    """What labelling would ask."""
    return str(dry_run_table(counted))


def dry_run_table(counted: dict[str, Any]) -> Table:
    """Calls, tokens and dollars that labelling would take."""
    cost = "not known: give --prices" if counted["cost_usd"] is None else dollars(counted["cost_usd"])
    notes = [f"Tokens are estimated on {counted['estimated_on']} comparisons."]
    return pairs(
        [
            ("rows", f"{counted['rows']}, {counted['malformed']} malformed"),
            ("calls", str(counted["calls"])),
            ("prompt tokens", f"about {counted['prompt_tokens']:,}"),
            ("completion tokens", f"at most {counted['completion_tokens']:,}"),
            ("cost", cost),
        ],
        notes=[*notes, f"note: {counted['assumed']}"] if counted["assumed"] else notes,
    )


def labels_text(summary: dict[str, Any], out: Path) -> str:
    """What became of a dataset."""
    return f"{labels_table(summary)}\ndataset {out}"


def labels_table(summary: dict[str, Any]) -> Table:
    """Preferences, failures, the judge's conduct, calls and cost."""
    counts, ledger = summary["counts"], summary["ledger"]
    rows = [
        ("preferences", str(counts["preferences"])),
        ("failures", f"{counts['failures']} {_reasons(counts['failures_by_reason'])}".strip()),
        ("malformed rows", str(counts["malformed"])),
    ]
    if summary["for_people"] is not None:
        rows.append(("for people to label", f"{summary['for_people']} in for_people.jsonl"))
    rows.append(("mean probability of the chosen", number(counts["mean_p_chosen"], 3)))
    if counts["undecided"]:
        rows.append(("undecided: p is 0.5, and chosen is a", str(counts["undecided"])))
    if counts["likeliest_ties"]:
        rows.append(("a tie is likeliest, and chosen what it leans to", str(counts["likeliest_ties"])))
    unpriced = f", {ledger['unpriced']} calls unpriced" if ledger["unpriced"] else ""
    rows += [
        ("first shown wins", percent(counts["first_position_rate"])),
        ("same position wins after the swap", percent(counts["position_bias"])),
        ("calls", f"{summary['calls_in_this_process']} now, {ledger['calls']} in all"),
        ("tokens", f"{ledger['prompt_tokens']:,} + {ledger['completion_tokens']:,}"),
        ("cost", dollars(ledger["cost_usd"], 4) + unpriced),
    ]
    table = pairs(rows, notes=[f"note: {note}" for note in summary["notes"]])
    return replace(table, warnings=[f"{warning['sentence']}." for warning in summary["judge_warnings"]])


def _reasons(reasons: dict[str, int]) -> str:
    return f"({', '.join(f'{count} {reason}' for reason, count in reasons.items())})" if reasons else ""
