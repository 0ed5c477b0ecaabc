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
    from preceptor.tasks.report import report as rewrite

    result = rewrite(run)
    output.show(result.summary, lambda: str(result))
