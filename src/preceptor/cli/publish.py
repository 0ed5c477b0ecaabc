"""`preceptor publish`: labels or a run on the Hugging Face Hub."""

from pathlib import Path
from typing import Annotated

import typer

from preceptor.cli import options as o


@o.with_options(output=o.output)
def publish(
    folder: Annotated[Path, typer.Argument(help="Folder of labels, or of a finished run.")],
    repository: Annotated[str, typer.Argument(metavar="ORG/NAME", help="Repository; created if there is none.")],
    send: Annotated[bool, typer.Option("--send", help="Send it; otherwise only show what would be sent.")] = False,
    public: Annotated[bool, typer.Option("--public", help="Let everybody read it; otherwise it is private.")] = False,
    mask: Annotated[
        bool, typer.Option("--mask", help="Replace secrets and personal data that rules find, in what is sent.")
    ] = False,
    also: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME", help="A further file or folder in the folder to send; repeat for several."),
    ] = None,
    *,
    output: o.Output,
) -> None:
    """Send labels or a run's model to the Hugging Face Hub; without --send, show what would be sent."""
    from preceptor.tasks.publish import publish as publish_folder

    published = publish_folder(
        folder, repository, send=send, public=public, mask=mask, also=also or (), progress=output.progress
    )
    output.show(published)
