"""`preceptor trajectories`: what a judge made of whole trajectories."""

from pathlib import Path
from typing import Annotated

import typer

from preceptor.cli import options as o
from preceptor.display.terminal import say_json


def trajectories(
    labels: Annotated[
        Path, typer.Argument(help="A folder that `preceptor label` wrote, or its preferences.jsonl.", metavar="LABELS")
    ],
    data: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Comparisons that say what succeeded: metadata success_a and success_b, or their label.",
        ),
    ] = None,
    good_step: Annotated[float, typer.Option(help="Score, 1 to 10, from which on a step is a good one.")] = 7.0,
    out: Annotated[
        Path | None, typer.Option(metavar="FOLDER", help="Also write trajectories.md and .json there.")
    ] = None,
    as_json: o.AsJson = False,
) -> None:
    """Does the judge prefer trajectories that succeeded, and do good steps make a good whole?"""
    import json

    from preceptor.cli.trajectories_table import show_trajectories
    from preceptor.tasks.trajectories import trajectories as study

    findings = study(labels, data, good_step=good_step, out=out)
    if as_json:
        say_json(json.dumps(findings.model_dump(mode="json"), indent=1, ensure_ascii=False))
    else:
        show_trajectories(findings, out)
