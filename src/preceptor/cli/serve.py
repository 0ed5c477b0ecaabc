"""`preceptor serve`: judges over HTTP."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from preceptor.cli.options import JUDGES, Budget, connection, with_options
from preceptor.core.errors import UsageError

if TYPE_CHECKING:
    from preceptor.backends.connection import Connection


@with_options(connection=connection)
def serve(
    judge: Annotated[
        list[str] | None,
        typer.Option(
            metavar="JUDGE",
            help="A judge as [NAME=]MODEL[:CONSTITUTION[:VARIANT]]; repeat for several.",
            show_default="embedded",
            rich_help_panel=JUDGES,
        ),
    ] = None,
    judges: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="A TOML file of [[judges]], each with a name.", rich_help_panel=JUDGES),
    ] = None,
    data: Annotated[Path, typer.Option(metavar="FOLDER", help="The service's own folder, with the ledger.")] = Path(
        "service"
    ),
    host: Annotated[str, typer.Option(help="Address to listen on; others need PRECEPTOR_SERVICE_TOKEN.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port; 0 takes any free one.")] = 8643,
    queue: Annotated[
        int, typer.Option(metavar="N", min=1, help="Comparisons and scores that may wait for one model.")
    ] = 1024,
    budget: Budget = None,
    *,
    connection: "Connection",
) -> None:
    """Serve judges and rewards over HTTP, for many clients with one ledger, budget and rate limit."""
    from preceptor.display.pulse import PULSE
    from preceptor.display.terminal import say
    from preceptor.serve.service import open_service

    if judge and judges:
        raise UsageError("--judges names all judges; leave out --judge")
    named = [judges] if judges else judge or ["embedded"]
    PULSE.hush()  # a server is silent while it waits
    try:
        open_service(named, data=data, host=host, port=port, connection=connection, budget=budget, queue=queue)
    except KeyboardInterrupt:
        say(f"The service has stopped. All answers are on record in {data}.")
