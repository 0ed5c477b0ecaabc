"""`preceptor construct`: pairs that need no judge."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from preceptor.cli import options as o

if TYPE_CHECKING:
    from preceptor.backends.connection import Connection


@o.with_options(connection=o.connection, output=o.output)
def construct(
    prompts: Annotated[Path, typer.Argument(help="Prompts (.jsonl, .parquet, a folder, hf:ORG/NAME).")],
    out: Annotated[Path, typer.Option(metavar="FOLDER", help="Folder for the pairs; give it again to resume.")],
    model: Annotated[
        str, typer.Option(metavar="MODEL", help="The model that changes prompts and answers.")
    ] = "embedded",
    temperature: Annotated[float, typer.Option(min=0.0, help="Sampling temperature; 0 is greedy.")] = 0.7,
    max_new_tokens: Annotated[int, typer.Option(min=8, help="Maximum tokens of a changed prompt or an answer.")] = 256,
    limit: Annotated[int | None, typer.Option(min=1, help="Use only the first N prompts.")] = None,
    seed: Annotated[int, typer.Option(min=0, help="Seed of the sampling.")] = 0,
    budget: o.Budget = None,
    *,
    connection: "Connection",
    output: o.Output,
) -> None:
    """Let a model make pairs without a judge: its answer to each prompt over its answer to a changed one."""
    from preceptor.judging.construction import ConstructionSettings
    from preceptor.tasks.construct import construct as construct_pairs

    constructed = construct_pairs(
        prompts,
        model=model,
        out=out,
        settings=o.checked(ConstructionSettings, temperature=temperature, max_new_tokens=max_new_tokens, seed=seed),
        limit=limit,
        budget=budget,
        connection=connection,
        progress=output.progress,
    )
    output.show(constructed)
