"""`preceptor compare`: compares finished runs."""

from pathlib import Path
from typing import Annotated

import typer

from preceptor.cli import options as o


@o.with_options(output=o.output)
def compare(
    runs: Annotated[
        list[Path], typer.Argument(help="Directories of runs, or folders of evaluations.", metavar="RUN...")
    ],
    out: Annotated[
        Path | None,
        typer.Option(metavar="FOLDER", help="Folder of the report.", show_default="comparisons/FIRST-vs-SECOND"),
    ] = None,
    *,
    output: o.Output,
) -> None:
    """Compare runs: their settings, their results, and which differences are beyond chance."""
    from preceptor.store.reading import resolved
    from preceptor.tasks.compare.compare import compare as compare_runs

    names = [resolved(run).name for run in runs]
    name = "-vs-".join(names[:2]) + (f"-and-{len(names) - 2}-more" if len(names) > 2 else "")
    folder = out or Path("comparisons") / name
    result = compare_runs(runs, out=folder)
    output.show(result, lambda: f"{result}\nreport {folder / 'compare.html'}")
