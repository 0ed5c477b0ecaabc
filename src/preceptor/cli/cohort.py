"""`preceptor cohort`: prompts from production."""

from pathlib import Path
from typing import Annotated

import typer

from preceptor.cli import options as o


@o.with_options(output=o.output)
def cohort(
    traces: Annotated[
        list[Path],
        typer.Argument(help="OpenTelemetry traces (OTLP JSON), chat logs (JSON lines), hf:ORG/NAME; several."),
    ],
    out: Annotated[Path, typer.Option(help="File of prompts; new ones are added to it.")],
    cohort: Annotated[str, typer.Option(metavar="NAME", help="Cohort of the prompts.")] = "production",
    limit: Annotated[int | None, typer.Option(min=1, help="Add at most N prompts.")] = None,
    failures_first: Annotated[
        bool, typer.Option("--failures-first", help="Add those with the most signs of failure first.")
    ] = False,
    no_mask: Annotated[bool, typer.Option("--no-mask", help="Do not mask personal data and secrets.")] = False,
    seed: Annotated[int, typer.Option(min=0, help="Seed of the order in which prompts are drawn.")] = 0,
    *,
    output: o.Output,
) -> None:
    """Turn production traces and chat logs into a cohort of prompts: masked, without duplicates, failures first."""
    from preceptor.tasks.cohort import cohort as add_prompts

    result = add_prompts(
        traces,
        out=out,
        cohort=cohort,
        limit=limit,
        failures_first=failures_first,
        mask=not no_mask,
        seed=seed,
        progress=output.progress,
    )
    output.show(result)
