"""`preceptor train`: trains a single model."""

from pathlib import Path
from typing import Annotated, Any

import typer

from preceptor.cli import options as o
from preceptor.cli.arguments import Command, Group

train = typer.Typer(cls=Group, help="Train a single model; `preceptor run` runs whole methods.", no_args_is_help=True)


@train.command("reward", cls=Command)
@o.with_options(output=o.output)
def reward(
    data: Annotated[
        list[Path],
        typer.Argument(help="Labelled pairs: what `label` wrote, people's comparisons, or TRL preference rows."),
    ],
    out: Annotated[Path, typer.Option(metavar="FOLDER", help="Folder of the model; give it again to resume.")],
    model: Annotated[str, typer.Option(help="The model to start from.")] = "embedded",
    test: Annotated[
        Path | None,
        typer.Option(help="Labelled pairs to measure it on.", show_default="a tenth of the prompts in DATA"),
    ] = None,
    settings: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="KEY=VALUE", help="A setting, e.g. reward_model.epochs=3 or tuning.method=full."),
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="Seed of the head, the adapters and the order of pairs.")] = 0,
    *,
    output: o.Output,
) -> None:
    """Train a reward model on preferences and measure it on unseen pairs."""
    from preceptor.recipes.load import read_tables
    from preceptor.training.reward_model.settings import RewardModelSettings
    from preceptor.training.trl.settings import EngineSettings
    from preceptor.training.tuning import TuningSettings

    tables = {"reward_model": RewardModelSettings, "tuning": TuningSettings, "engine": EngineSettings}
    chosen: dict[str, Any] = read_tables(settings or [], tables)

    from preceptor.cli.launched import errors_reported_once
    from preceptor.methods.train_reward import train_reward
    from preceptor.training.processes import Processes

    is_main = Processes().is_main
    with errors_reported_once(is_main):
        result = train_reward(
            tuple(data),
            out=out,
            model=model,
            test=test,
            reward_model=chosen["reward_model"],
            tuning=chosen["tuning"],
            engine=chosen["engine"],
            seed=seed,
            progress=output.progress,
        )
    if is_main:
        output.show(result, lambda: f"{result}\nmodel {result.folder}")
