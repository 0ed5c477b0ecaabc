"""`preceptor cohort`: prompts from production."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from preceptor.cli import options as o

if TYPE_CHECKING:
    from preceptor.display.table import Table


@o.with_options(output=o.output)
def cohort(
    traces: Annotated[
        list[Path], typer.Argument(help="OpenTelemetry traces (OTLP JSON) or chat logs (JSON lines); several files.")
    ],
    out: Annotated[Path, typer.Option(help="File of prompts. Those in it stay, new ones are added.")],
    cohort: Annotated[str, typer.Option(metavar="NAME", help="Cohort of the prompts.")] = "production",
    limit: Annotated[int | None, typer.Option(min=1, help="Add at most so many prompts.")] = None,
    failures_first: Annotated[
        bool, typer.Option("--failures-first", help="Add those with the most signs of failure first.")
    ] = False,
    no_mask: Annotated[bool, typer.Option("--no-mask", help="Keep personal data and secrets as they are.")] = False,
    seed: Annotated[int, typer.Option(min=0, help="Seed of the order in which prompts are drawn.")] = 0,
    *,
    output: o.Output,
) -> None:
    """Turn production traces and chat logs into a cohort of prompts: masked, without duplicates, failures first."""
    from preceptor.core.errors import UsageError
    from preceptor.tasks.cohort import CohortJob, run_cohort

    if not cohort:
        raise UsageError('--cohort "": expected a name')
    job = CohortJob(tuple(traces), out, cohort, limit, failures_first, not no_mask, seed)
    result = run_cohort(job, output.progress)
    output.show(result, lambda: f"{_table(result)}\n{result['prompts']} prompts in {result['out']}")


def _table(result: dict[str, Any]) -> "Table":
    from preceptor.display.table import pairs

    rows = [("calls in the traces", str(result["calls"]))]
    if result["without_content"]:
        rows.append(("calls without content", str(result["without_content"])))
    if result["malformed"]:
        rows.append(("unusable rows", str(result["malformed"])))
    rows.append(("conversations", str(result["conversations"])))
    rows.append(("duplicates", f"{result['duplicates']} exact, {result['near_duplicates']} near"))
    if result["left_out_by_limit"]:
        rows.append(("left out by --limit", str(result["left_out_by_limit"])))
    rows.append(("prompts added", f"{result['added']}, {result['with_signals']} of them with signs of failure"))
    rows += [(f"  {name.replace('_', ' ')}", str(count)) for name, count in result["signals"].items()]
    if result["masked"] is not None:
        masked = ", ".join(f"{count} {kind}" for kind, count in result["masked"].items())
        rows.append(("masked in them", masked or "nothing"))
    unusable = [f"unusable: {place}" for place in result["malformed_first"]]
    return pairs(rows, notes=[*unusable, *filter(None, [result["hint"]]), result["not_masked"]])
