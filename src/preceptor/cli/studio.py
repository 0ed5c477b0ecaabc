"""`preceptor studio`: the web application for people."""

from pathlib import Path
from typing import Annotated

import typer


def studio(
    folders: Annotated[
        list[Path] | None,
        typer.Argument(
            metavar="[FOLDER]...",
            help="Folders that preceptor wrote, or that hold some.",
            show_default="the current folder",
        ),
    ] = None,
    data: Annotated[Path, typer.Option(metavar="FOLDER", help="The studio's own folder, with what people say.")] = Path(
        "studio"
    ),
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port; 0 takes any free one.")] = 8642,
    host_name: Annotated[
        str | None, typer.Option(metavar="NAME", help="Name under which a reverse proxy passes requests on.")
    ] = None,
) -> None:
    """Open a web page in which people rate responses, and you browse labels, judges and runs."""
    from preceptor.display.pulse import PULSE
    from preceptor.display.terminal import say
    from preceptor.studio.serve import open_studio

    PULSE.hush()  # a server is silent while it waits
    try:
        open_studio(*(folders or ()), data=data, host=host, port=port, host_name=host_name)
    except KeyboardInterrupt:
        say(f"The studio has stopped. What people said is in {data}.")
