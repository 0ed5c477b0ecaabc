"""`preceptor report`: the report of a finished run, written anew."""

from pathlib import Path
from typing import Annotated

import typer

from preceptor.cli import options as o


@o.with_options(output=o.output)
def report(
    run: Annotated[Path, typer.Argument(help="Directory of a finished run.")],
    *,
    output: o.Output,
) -> None:
    """Rewrite the report of a finished run and print its summary."""
    from preceptor.cli.run_table import run_text
    from preceptor.core.errors import UsageError
    from preceptor.runs.directory import RunDirectory
    from preceptor.runs.evaluation import evaluate_run
    from preceptor.runs.report import write_report

    directory = RunDirectory.open(run)
    summary = directory.finished()
    if summary is None:
        raise UsageError(f"{run}: this run is not finished; go on with it by `preceptor run --resume {run}`")
    data = directory.report_data(summary)
    write_report(directory, summary, evaluate_run(data.before, data.after, summary))
    output.show(summary, lambda: run_text(summary, directory))
