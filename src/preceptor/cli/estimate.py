"""`preceptor estimate`: what people prefer, from a judge's labels and a few human labels."""

from pathlib import Path
from typing import Annotated

import typer

from preceptor.cli import options as o


@o.with_options(output=o.output)
def estimate(
    judged: Annotated[Path, typer.Argument(help="Labels by `preceptor label`: preferences.jsonl, or its folder.")],
    people: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Some of the comparisons with human labels or ratings, by id.")
    ] = None,
    policy: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="Estimate for this policy's responses.", show_default="response a"),
    ] = None,
    half_width: Annotated[float, typer.Option(help="Say how many labels an interval of ± this needs.")] = 0.05,
    plan: Annotated[
        int, typer.Option(min=0, metavar="N", help="Write N comparisons for people to label next, drawn at random.")
    ] = 0,
    sample: Annotated[
        str | None,
        typer.Option(
            metavar="random", help="How the human-labelled comparisons were drawn, if the rows do not say it."
        ),
    ] = None,
    out: Annotated[
        Path | None, typer.Option(metavar="FOLDER", help="Folder for estimate.json, report.html and for_people.jsonl.")
    ] = None,
    *,
    output: o.Output,
) -> None:
    """Estimate how often people prefer a response, from few human labels and many of a judge."""
    from preceptor.core.errors import UsageError
    from preceptor.tasks.estimate import estimate as estimate_from

    if plan and out is None:
        raise UsageError("--plan writes for_people.jsonl; give a folder for it with --out")
    result = estimate_from(
        judged, people=people, policy=policy, half_width=half_width, plan=plan, sample=sample, out=out
    )
    output.show(result)
