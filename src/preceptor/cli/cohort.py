"""`preceptor cohort`: prompts from production."""

from pathlib import Path
from typing import Annotated, Any

import typer

from preceptor.cli import options as o
from preceptor.display.terminal import Terminal, say_json


def cohort(
    traces: Annotated[
        list[Path], typer.Argument(help="OpenTelemetry traces (OTLP JSON) or chat logs (JSON lines); several files.")
    ],
    out: Annotated[Path, typer.Option(help="A file of prompts; those it has stay, new ones are added.")],
    cohort: Annotated[str, typer.Option(metavar="NAME", help="The cohort that the prompts belong to.")] = "production",
    limit: Annotated[int | None, typer.Option(min=1, help="Add at most so many prompts.")] = None,
    failures_first: Annotated[
        bool, typer.Option("--failures-first", help="Add those that show most signs of failure before the others.")
    ] = False,
    no_mask: Annotated[bool, typer.Option("--no-mask", help="Keep personal data and secrets as they are.")] = False,
    seed: Annotated[int, typer.Option(min=0, help="Of the order in which prompts are drawn.")] = 0,
    as_json: o.AsJson = False,
) -> None:
    """Turn production traces and chat logs into a cohort of prompts: masked, without duplicates, failures first."""
    import json

    from preceptor.core.errors import UsageError
    from preceptor.tasks.cohort import CohortJob, run_cohort

    if not cohort:
        raise UsageError('--cohort "": expected a name')
    job = CohortJob(tuple(traces), out, cohort, limit, failures_first, not no_mask, seed)
    result = run_cohort(job)
    if as_json:
        say_json(json.dumps(result, indent=1, ensure_ascii=False))
    else:
        _show(result)


def _show(result: dict[str, Any]) -> None:
    from rich.table import Table

    table = Table(show_header=False)
    table.add_row("calls in the traces", str(result["calls"]))
    if result["without_content"]:
        table.add_row("calls without content", str(result["without_content"]))
    if result["malformed"]:
        table.add_row("unusable rows", str(result["malformed"]))
    table.add_row("conversations", str(result["conversations"]))
    table.add_row("duplicates", f"{result['duplicates']} exact, {result['near_duplicates']} near")
    if result["left_out_by_limit"]:
        table.add_row("left out by --limit", str(result["left_out_by_limit"]))
    table.add_row("prompts added", f"{result['added']}, {result['with_signals']} of them with signs of failure")
    for name, count in result["signals"].items():
        table.add_row(f"  {name.replace('_', ' ')}", str(count))
    if result["masked"] is not None:
        masked = ", ".join(f"{count} {kind}" for kind, count in result["masked"].items())
        table.add_row("masked in them", masked or "nothing")
    console = Terminal()
    console.print(table)
    for place in result["malformed_first"]:
        console.print(f"unusable: {place}", highlight=False, soft_wrap=True)
    if result["hint"]:
        console.print(result["hint"], highlight=False, soft_wrap=True)
    console.print(result["not_masked"], highlight=False, soft_wrap=True)
    console.print(f"{result['prompts']} prompts in {result['out']}", highlight=False, soft_wrap=True)
