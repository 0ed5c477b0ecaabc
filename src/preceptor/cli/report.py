"""`preceptor report`: the report of a finished run, written anew."""

from pathlib import Path
from typing import Annotated

import typer


def report(
    run: Annotated[Path, typer.Argument(help="Directory of a finished run.")],
    as_json: Annotated[bool, typer.Option("--json", help="Print the summary as JSON on standard output.")] = False,
) -> None:
    """Write report.html of a finished run anew and print its summary."""
    from preceptor.cli.run_table import show_summary
    from preceptor.core.errors import UsageError
    from preceptor.runs.directory import RunDirectory
    from preceptor.runs.report import evaluated, write_report

    directory = RunDirectory.open(run)
    summary = directory.read_summary()
    if summary.get("status") != "done":
        raise UsageError(f"{run}: this run is not finished; go on with it by `preceptor run --resume {run}`")
    write_report(directory, *evaluated(directory, summary))
    show_summary(summary, directory, as_json=as_json)
