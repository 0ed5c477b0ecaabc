"""`preceptor models`: the forms of a model string."""

from typing import Annotated

import typer

from preceptor.cli import options as o


@o.with_options(output=o.output)
def models(
    fetch: Annotated[bool, typer.Option("--fetch", help="Download the embedded model into the cache now.")] = False,
    *,
    output: o.Output,
) -> None:
    """List the forms of a model string, and where the embedded model is."""
    from preceptor.tasks.models import models as forms

    output.show(forms(fetch=fetch))
