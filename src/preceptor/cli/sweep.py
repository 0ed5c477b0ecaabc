"""`preceptor sweep`: every checkpoint of a run on cohorts of prompts."""

from pathlib import Path
from typing import Annotated

import typer

from preceptor.cli import names
from preceptor.cli import options as o


@o.with_options(output=o.output)
def sweep(
    run: Annotated[Path, typer.Argument(help="Directory of a run.", metavar="RUN")],
    prompts: Annotated[
        list[str] | None,
        typer.Option(
            metavar="[COHORT=]FILE", help="Prompts; repeat for several.", show_default="those the run held out"
        ),
    ] = None,
    judge: Annotated[
        str | None, typer.Option(metavar="MODEL", help="A held-out judge.", show_default="the run's held-out measure")
    ] = None,
    constitution: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="The judge's constitution: a shipped one or a .toml.",
            show_default="the run's",
            autocompletion=names.constitutions,
        ),
    ] = None,
    samples: Annotated[
        int | None, typer.Option(min=1, help="Responses to each prompt.", show_default="as in the run")
    ] = None,
    max_kl: Annotated[
        float | None, typer.Option(help="Bound on KL, nats per response.", show_default="the run's")
    ] = None,
    max_perplexity_ratio: Annotated[
        float | None, typer.Option(help="Bound on perplexity, relative to before training.", show_default="the run's")
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(metavar="FOLDER", help="Folder of the sweep; give it again to resume.", show_default="sweeps/RUN"),
    ] = None,
    *,
    output: o.Output,
) -> None:
    """Measure every checkpoint of a run, find the best one and where over-optimisation begins."""
    from preceptor.runs.directory import RunDirectory
    from preceptor.store.output import Output
    from preceptor.store.own_folder import check_own
    from preceptor.store.reading import resolved

    folder = out or Path("sweeps") / resolved(run).name
    check_own(folder, "sweep")
    RunDirectory.open(run)  # mistakes are reported before torch is imported
    from preceptor.methods.sweep import SweepJob, run_sweep

    job = SweepJob(
        run=run,
        output=Output(folder),
        prompts=tuple(prompts or ()),
        judge=judge,
        constitution=constitution,
        samples=samples,
        max_kl=max_kl,
        max_perplexity_ratio=max_perplexity_ratio,
    )
    result = run_sweep(job, output.progress)
    output.show(result, lambda: f"{result}\nreport {folder / 'report.html'}")
