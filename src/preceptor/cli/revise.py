"""`preceptor revise`: critique and revision by a constitution."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from preceptor.cli import names
from preceptor.cli import options as o

if TYPE_CHECKING:
    from preceptor.backends.connection import Connection


@o.with_options(connection=o.connection, output=o.output)
def revise(
    prompts: Annotated[Path, typer.Argument(help="Prompts (.jsonl, .parquet, a folder, hf:ORG/NAME).")],
    out: Annotated[
        Path, typer.Option(metavar="FOLDER", help="Folder for pairs and fine-tuning data; give it again to resume.")
    ],
    model: Annotated[
        str, typer.Option(metavar="MODEL", help="The model that drafts, criticises and revises.")
    ] = "embedded",
    constitution: Annotated[
        str, typer.Option(metavar="NAME", help="A shipped constitution or a .toml.", autocompletion=names.constitutions)
    ] = "harmless",
    rounds: Annotated[int, typer.Option(min=1, help="Critiques and revisions of each draft.")] = 1,
    temperature: Annotated[float, typer.Option(min=0.0, help="Sampling temperature; 0 is greedy.")] = 0.7,
    max_new_tokens: Annotated[int, typer.Option(min=8, help="Maximum tokens of a draft or a revision.")] = 256,
    limit: Annotated[int | None, typer.Option(min=1, help="Use only the first N prompts.")] = None,
    seed: Annotated[int, typer.Option(min=0, help="Seed of the sampling.")] = 0,
    budget: o.Budget = None,
    *,
    connection: "Connection",
    output: o.Output,
) -> None:
    """Let a model criticise and rewrite its answers: pairs (revised over draft) and fine-tuning data."""
    from preceptor.judging.revision import RevisionSettings
    from preceptor.tasks.revise import revise as revise_answers

    revised = revise_answers(
        prompts,
        model=model,
        constitution=constitution,
        out=out,
        settings=o.checked(
            RevisionSettings, rounds=rounds, temperature=temperature, max_new_tokens=max_new_tokens, seed=seed
        ),
        limit=limit,
        budget=budget,
        connection=connection,
        progress=output.progress,
    )
    output.show(revised)
