"""`preceptor agreement`: how far people agree with each other."""

from pathlib import Path
from typing import Annotated

import typer

from preceptor.cli import options as o


@o.with_options(output=o.output)
def agreement(
    data: Annotated[Path, typer.Argument(help="Comparisons with people's ratings, or rows with rankings.")],
    out: Annotated[
        Path | None, typer.Option(metavar="FOLDER", help="Also write agreement.json and report.html there.")
    ] = None,
    *,
    output: o.Output,
) -> None:
    """Measure how far people agree with each other: pairs of people, Krippendorff's alpha, Kendall's W."""
    from preceptor.tasks.agreement import agreement as agreement_of

    result = agreement_of(data, out=out)
    output.show(result)
