"""`preceptor sweep`: every checkpoint of a run on cohorts of prompts."""

from pathlib import Path
from typing import Annotated

import typer

from preceptor.cli import options as o
from preceptor.display.terminal import say_json


def sweep(
    run: Annotated[Path, typer.Argument(help="Directory of a run.", metavar="RUN")],
    prompts: Annotated[
        list[str] | None,
        typer.Option(metavar="[COHORT=]FILE", help="Prompts; repeat for several. Default: those the run held out."),
    ] = None,
    judge: Annotated[
        str | None, typer.Option(metavar="MODEL", help="A held-out judge. Default: the run's own held-out measure.")
    ] = None,
    constitution: Annotated[
        str | None, typer.Option(metavar="NAME", help="The judge's: a shipped one or a .toml. Default: the run's own.")
    ] = None,
    samples: Annotated[
        int | None, typer.Option(min=1, help="Responses to each prompt. Default: as in the run.")
    ] = None,
    max_kl: Annotated[float | None, typer.Option(help="Bound on KL, nats per response. Default: the run's.")] = None,
    max_perplexity_ratio: Annotated[
        float | None, typer.Option(help="Bound on perplexity, relative to before training. Default: the run's.")
    ] = None,
    out: Annotated[
        Path | None, typer.Option(help="Folder of the sweep, given again to go on. Default: sweeps/RUN.")
    ] = None,
    as_json: o.AsJson = False,
) -> None:
    """Measure every checkpoint of a run, find the best one and where over-optimisation begins."""
    import json

    from preceptor.cli.sweep_table import show_sweep
    from preceptor.methods.sweep import SweepJob, run_sweep
    from preceptor.store.reading import resolved

    folder = out or Path("sweeps") / resolved(run).name
    job = SweepJob(
        run=run,
        out=folder,
        prompts=tuple(prompts or ()),
        judge=judge,
        constitution=constitution,
        samples=samples,
        max_kl=max_kl,
        max_perplexity_ratio=max_perplexity_ratio,
    )
    found = run_sweep(job)
    if as_json:
        say_json(json.dumps(found.model_dump(mode="json"), indent=1, ensure_ascii=False))
    else:
        show_sweep(found, folder)
