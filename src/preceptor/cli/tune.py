"""`preceptor tune`: rewords a constitution against people's labels."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from preceptor.cli import options as o

if TYPE_CHECKING:
    from preceptor.backends.connection import Connection
    from preceptor.judging.specs import JudgeSpec


@o.with_options(judges=o.judges, connection=o.connection, output=o.output)
def tune(
    data: Annotated[
        Path, typer.Argument(help="Comparisons that people labelled (.jsonl, .parquet, a folder, hf:ORG/NAME).")
    ],
    out: Annotated[Path, typer.Option(metavar="FOLDER", help="Folder of the wordings; give it again to resume.")],
    writer: Annotated[
        str | None,
        typer.Option(metavar="MODEL", help="The model that rewords.", show_default="the judge's"),
    ] = None,
    comparisons: Annotated[int, typer.Option(min=1, help="About how many comparisons the search may ask for.")] = 600,
    limit: Annotated[int | None, typer.Option(min=1, help="Use only the first N rows.")] = None,
    seed: Annotated[int, typer.Option(min=0, help="Seed of the split, the search and the rewording.")] = 0,
    budget: o.Budget = None,
    *,
    judges: "tuple[JudgeSpec, ...]",
    connection: "Connection",
    output: o.Output,
) -> None:
    """Reword a judge's constitution so that it agrees more with people, and measure that on rows never used."""
    from preceptor.tasks.tune.tune import tune as tune_constitution

    result = tune_constitution(
        data,
        judge=judges,
        writer=writer,
        out=out,
        comparisons=comparisons,
        limit=limit,
        seed=seed,
        budget=budget,
        connection=connection,
        progress=output.progress,
    )
    output.show(result)
