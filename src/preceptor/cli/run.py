"""`preceptor run`: runs a recipe."""

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from preceptor.cli import names
from preceptor.cli import options as o

if TYPE_CHECKING:
    from preceptor.runs.directory import RunDirectory


@o.with_options(output=o.output)
def run(
    recipe: Annotated[
        str | None,
        typer.Argument(help="Name of a shipped recipe, or path of a .toml file.", autocompletion=names.recipes),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(metavar="FOLDER", help="Run directory.", show_default="runs/RECIPE-N, with the next free N"),
    ] = None,
    settings: Annotated[
        list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="Override a setting, e.g. rl.steps=50.")
    ] = None,
    scale: Annotated[
        str | None,
        typer.Option(
            metavar="NAME", help="Run smaller: `tiny` tries any recipe on two CPU cores.", autocompletion=names.scales
        ),
    ] = None,
    seed: Annotated[int | None, typer.Option(help="Override the recipe's seed.")] = None,
    resume: Annotated[Path | None, typer.Option(metavar="RUN", help="Resume the run in this directory.")] = None,
    unlicensed: Annotated[
        bool,
        typer.Option(
            "--unlicensed", help="Start although the judge has no licence to train; the report says so first."
        ),
    ] = False,
    merge: Annotated[bool, typer.Option("--merge", help="Also write the model with its adapters merged.")] = False,
    *,
    output: o.Output,
) -> None:
    """Run a recipe: sample, judge, train, measure, report."""
    from preceptor.cli.launched import errors_reported_once
    from preceptor.cli.stopping import going_on_by
    from preceptor.core.errors import UsageError
    from preceptor.core.extras import require_training

    require_training()
    if (recipe is None) == (resume is None):
        raise UsageError("give a recipe to start a run, or --resume RUN to resume one")
    if resume is not None and (settings or scale or seed is not None or out is not None or unlicensed):
        raise UsageError(
            "--resume uses the recipe in the run directory; leave out --set, --scale, --seed, --unlicensed and --out"
        )
    overrides = [*(settings or []), *([f"seed={seed}"] if seed is not None else [])]
    overrides += ["licence.waived=true"] if unlicensed else []

    def prepare() -> "RunDirectory":
        from preceptor.recipes.load import load_recipe
        from preceptor.runs.directory import RunDirectory, next_run_path

        if resume is not None:
            return RunDirectory.open(resume)
        assert recipe is not None
        loaded = load_recipe(recipe, overrides, scale)
        return RunDirectory.create(out or next_run_path(Path("runs"), Path(recipe).stem), loaded)

    launched = int(os.environ.get("WORLD_SIZE", "1")) > 1  # for example by `accelerate launch`
    # In a single process, mistakes are reported before torch is imported.
    directory = None if launched else prepare()
    from preceptor.methods.execute import execute
    from preceptor.runs.result import load_run
    from preceptor.training.processes import Processes

    processes = Processes()
    with errors_reported_once(processes.is_main):
        directory = directory or processes.on_main(prepare)
        if not processes.is_main:
            execute(directory, merge=merge, processes=processes)
            return
    again = ["preceptor", "run", "--resume", str(directory.path), *(["--merge"] if merge else [])]
    with going_on_by(*again):
        execute(directory, output.progress, merge=merge, processes=processes)
    result = load_run(directory.path)
    output.show(result.summary, lambda: str(result))
