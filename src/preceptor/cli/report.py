"""`preceptor report`: rewrites the report of a finished run."""

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
    from preceptor.methods.base import find_method
    from preceptor.methods.run import load_run
    from preceptor.runs.evaluation import evaluate_run
    from preceptor.runs.report import write_report

    result = load_run(run)
    data = result.directory.report_data(result.summary)
    method, evaluation = (
        find_method(result.directory.recipe.method),
        evaluate_run(data.before, data.after, result.summary),
    )
    write_report(result.directory, method, result.summary, evaluation)
    output.show(result.summary, lambda: str(result))
