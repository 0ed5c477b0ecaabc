"""`preceptor arms`: several ways of training side by side."""

import os
import sys
from pathlib import Path
from typing import Annotated

import typer

from preceptor.cli import names
from preceptor.cli import options as o


@o.with_options(output=o.output)
def arms(
    name: Annotated[
        str, typer.Argument(help="Name of a shipped set of arms, or path of a .toml file.", autocompletion=names.arms)
    ] = "warm_tone",
    out: Annotated[
        Path | None,
        typer.Option(metavar="FOLDER", help="Folder of all runs; give it again to resume.", show_default="runs/NAME-N"),
    ] = None,
    settings: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="KEY=VALUE", help="Override a setting, e.g. common.rl.steps=10."),
    ] = None,
    scale: Annotated[
        str | None, typer.Option(metavar="NAME", help="Run smaller: `tiny` tries it.", autocompletion=names.scales)
    ] = None,
    seed: Annotated[int | None, typer.Option(help="Override the seed of all arms.")] = None,
    *,
    output: o.Output,
) -> None:
    """Run several recipes on the same prompts and compare their results."""
    from preceptor.core.errors import UsageError
    from preceptor.methods.arms import arms as run_arms
    from preceptor.methods.arms import begin_arms, load_arms
    from preceptor.runs.directory import next_run_path

    if int(os.environ.get("WORLD_SIZE", "1")) > 1:
        raise UsageError("arms run in one process; launch several processes for a single recipe with `preceptor run`")
    recipe = load_arms(name, [*(settings or []), *([f"seed={seed}"] if seed is not None else [])], scale)
    path = out or next_run_path(Path("runs"), Path(name).stem)
    begin_arms(path, recipe)

    from preceptor.cli.stopping import going_on_by

    again = ["preceptor", *sys.argv[1:], *(["--out", str(path)] if out is None else [])]
    with going_on_by(*again):
        result = run_arms(recipe, out=path, progress=output.progress)
    output.show(result, lambda: f"{result}\nreport {path / 'report.html'}")
