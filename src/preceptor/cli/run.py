"""`preceptor run`: a whole recipe."""

from pathlib import Path
from typing import Annotated

import typer


def run(
    recipe: Annotated[str | None, typer.Argument(help="Name of a shipped recipe, or path of a .toml file.")] = None,
    out: Annotated[Path | None, typer.Option(help="Run directory. Default: runs/RECIPE-N, the next free N.")] = None,
    settings: Annotated[
        list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="Override a setting, e.g. rl.steps=50.")
    ] = None,
    seed: Annotated[int | None, typer.Option(help="Override the recipe's seed.")] = None,
    resume: Annotated[Path | None, typer.Option(metavar="RUN", help="Go on with the run in this directory.")] = None,
    merge: Annotated[bool, typer.Option("--merge", help="Also write the model with its adapters merged.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the summary as JSON on standard output.")] = False,
) -> None:
    """Run a recipe: sample, judge, train, measure, report."""
    from preceptor.cli.display import Display, show_summary
    from preceptor.core.errors import UsageError
    from preceptor.recipes.load import load_recipe
    from preceptor.recipes.run_directory import RunDirectory, next_run_path

    if (recipe is None) == (resume is None):
        raise UsageError("give a recipe to start a run, or --resume RUN to go on with one")
    if resume is not None:
        if settings or seed is not None or out is not None:
            raise UsageError("--resume goes on with the recipe in the run directory; it takes no --set, --seed, --out")
        directory = RunDirectory.open(resume)
    else:
        assert recipe is not None
        overrides = [*(settings or []), *([f"seed={seed}"] if seed is not None else [])]
        loaded = load_recipe(recipe, overrides)
        directory = RunDirectory.create(out or next_run_path(Path("runs"), Path(recipe).stem), loaded)
    from preceptor.recipes.run import execute  # imports torch: late, so that a mistake is answered at once

    with Display() as display:
        summary = execute(directory, display, merge=merge)
    show_summary(summary, directory, as_json=as_json)
