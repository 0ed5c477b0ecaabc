"""`preceptor trajectories`: studies a judge of whole trajectories."""

from pathlib import Path
from typing import Annotated

import typer

from preceptor.cli import options as o


@o.with_options(output=o.output)
def trajectories(
    labels: Annotated[
        Path, typer.Argument(help="A folder that `preceptor label` wrote, or its preferences.jsonl.", metavar="LABELS")
    ],
    data: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Comparisons with known success: metadata success_a and success_b, or their label.",
        ),
    ] = None,
    good_step: Annotated[float, typer.Option(help="Lowest score, 1 to 10, of a good step.")] = 7.0,
    out: Annotated[
        Path | None, typer.Option(metavar="FOLDER", help="Also write report.html and trajectories.json there.")
    ] = None,
    *,
    output: o.Output,
) -> None:
    """Study a judge of trajectories: does it prefer those that succeeded, and do good steps make a good whole?"""
    from preceptor.tasks.trajectories import trajectories as study

    output.show(study(labels, data, good_step=good_step, out=out))
