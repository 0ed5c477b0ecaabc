"""`preceptor init`: writes a starter folder."""

from pathlib import Path
from typing import Annotated

import typer

from preceptor.cli import options as o


@o.with_options(output=o.output)
def init(
    folder: Annotated[Path, typer.Argument(metavar="FOLDER", help="Folder to write into.")] = Path(),
    *,
    output: o.Output,
) -> None:
    """Write a constitution, prompts and a recipe to start from."""
    from preceptor.tasks.init import init as write

    started = write(folder)
    output.show(started)
