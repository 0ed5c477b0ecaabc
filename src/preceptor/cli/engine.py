"""`preceptor engine`: what the engine that trains needs besides a recipe."""

from pathlib import Path
from typing import Annotated, Literal

import typer

from preceptor.cli import options as o
from preceptor.cli.arguments import Command, Group

engine = typer.Typer(cls=Group, help="Write what the TRL engine needs for several GPUs.", no_args_is_help=True)


@engine.command("config", cls=Command)
@o.with_options(output=o.output)
def config(
    sharding: Annotated[
        Literal["ddp", "fsdp2", "deepspeed"],
        typer.Argument(
            metavar="ddp|fsdp2|deepspeed",
            help="How the model is divided: each process holds all of it (ddp), or a part of it.",
        ),
    ],
    processes: Annotated[int, typer.Option(min=2, metavar="N", help="Number of processes, one for each GPU.")],
    out: Annotated[
        Path | None, typer.Option(metavar="FILE", help="The file to write (.yaml).", show_default="print it")
    ] = None,
    *,
    output: o.Output,
) -> None:
    """Write the configuration of accelerate with which `accelerate launch` trains a recipe on several GPUs."""
    from preceptor.tasks.engine_config import engine_config

    output.show(engine_config(sharding, processes=processes, out=out))
