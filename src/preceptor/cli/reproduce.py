"""`preceptor reproduce`: the tables of a paper, measured with your models and data."""

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from preceptor.cli import names
from preceptor.cli import options as o

if TYPE_CHECKING:
    from preceptor.backends.connection import Connection


@o.with_options(connection=o.connection, output=o.output)
def reproduce(
    paper: Annotated[str, typer.Argument(help="The paper: rlaif-paper (Lee et al. 2023).")],
    tables: Annotated[
        list[str] | None,
        typer.Argument(help="Names of its tables; all by default.", metavar="TABLE", autocompletion=names.tables),
    ] = None,
    data: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR",
            help="Folder with TASK/preferences.jsonl (comparisons that people labelled), TASK/demonstrations.jsonl and "
            "TASK/prompts.jsonl; TASK is summaries, helpful or harmless. A table whose files are missing says so.",
            show_default="required",
        ),
    ] = None,
    policy: Annotated[str, typer.Option(metavar="MODEL", help="The policy, and what reward models start from.")] = (
        "embedded"
    ),
    judge: Annotated[
        list[str] | None,
        typer.Option(
            metavar="MODEL",
            help="A judge: the labeller first, then others from the larger to the smaller.",
            show_default="embedded",
        ),
    ] = None,
    held_out_judge: Annotated[
        str | None,
        typer.Option(
            metavar="MODEL",
            help="A judge that labels nothing, chooses checkpoints and compares policies.",
            show_default="the second judge, or else the labeller",
        ),
    ] = None,
    scale: Annotated[
        str,
        typer.Option(
            metavar="NAME",
            help="tiny (two CPU cores, 20 minutes), small (one GPU) or paper (the paper's own settings).",
            autocompletion=lambda: ["tiny", "small", "paper"],
        ),
    ] = "tiny",
    seed: Annotated[int, typer.Option(min=0, help="Which comparisons are drawn, and the seed of training.")] = 0,
    out: Annotated[
        Path | None,
        typer.Option(
            metavar="FOLDER",
            help="Folder of all tables; give it again to resume.",
            show_default="reproductions/PAPER-SCALE",
        ),
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Check data and settings, and say what would be run, without any call.")
    ] = False,
    *,
    connection: "Connection",
    output: o.Output,
) -> None:
    """Measure the tables of the RLAIF paper with your models and data, each number beside the paper's."""
    from preceptor.cli.stopping import going_on_by
    from preceptor.core.errors import UsageError
    from preceptor.methods.paper.reproduce import reproduce as run_tables

    if data is None:
        raise UsageError("--data DIR: name the folder of data; `preceptor reproduce --help` says what it holds")
    if dry_run:
        from preceptor.methods.paper.plan import plan_reproduction

        output.show(
            plan_reproduction(
                paper,
                tables or (),
                data=data,
                policy=policy,
                judges=judge or ["embedded"],
                held_out_judge=held_out_judge,
                scale=scale,
                seed=seed,
                connection=connection,
            )
        )
        return
    if int(os.environ.get("WORLD_SIZE", "1")) > 1:
        raise UsageError(
            "a reproduction runs in one process; launch several processes for one of its runs, with "
            "`preceptor run --resume RUN`, and start the reproduction again when that run has ended"
        )
    path = out or Path("reproductions") / f"{paper}-{scale}"
    with going_on_by("preceptor", *sys.argv[1:]):
        result = run_tables(
            paper,
            tables or (),
            data=data,
            policy=policy,
            judges=judge or ["embedded"],
            held_out_judge=held_out_judge,
            scale=scale,
            out=path,
            seed=seed,
            connection=connection,
            progress=output.progress,
        )
    output.show(result, lambda: f"{result}\nreport {result.report}")
