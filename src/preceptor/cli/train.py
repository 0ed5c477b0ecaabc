"""`preceptor train`: trains a single model."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from preceptor.cli import options as o
from preceptor.cli.arguments import Command, Group

if TYPE_CHECKING:
    from preceptor.judging.specs import JudgeSpec

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


@train.command("judge", cls=Command)
@o.with_options(judges=o.judges, output=o.output)
def judge(
    data: Annotated[
        Path, typer.Argument(help="Comparisons that people labelled, or the preferences.jsonl of a larger judge.")
    ],
    out: Annotated[Path, typer.Option(metavar="FOLDER", help="Folder of the model; give it again to resume.")],
    test: Annotated[
        Path | None,
        typer.Option(
            help="Rows that people labelled, to measure it on.", show_default="a quarter of the prompts in DATA"
        ),
    ] = None,
    rationale_tries: Annotated[
        int,
        typer.Option(
            min=0,
            metavar="N",
            help="Ask the judge itself up to N times for a rationale that DATA lacks, until one comes to the label.",
            show_default="0, only rationales in DATA",
        ),
    ] = 0,
    labels_licence: Annotated[
        str,
        typer.Option(metavar="TEXT", help="Licence of the labels and terms of their judge, for the model card."),
    ] = "",
    settings: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="KEY=VALUE", help="A setting, e.g. sft.epochs=3 or tuning.rank=8."),
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="Seed of the adapters and the order.")] = 0,
    *,
    judges: "tuple[JudgeSpec, ...]",
    output: o.Output,
) -> None:
    """Train a judge on verdicts of people or of a larger judge, and audit it before and after on unseen prompts."""
    from preceptor.recipes.load import read_tables
    from preceptor.training.sft.settings import SftSettings
    from preceptor.training.tuning import TuningSettings

    chosen: dict[str, Any] = read_tables(settings or [], {"sft": SftSettings, "tuning": TuningSettings})

    from preceptor.methods.train_judge import train_judge

    result = train_judge(
        data,
        judge=judges,
        out=out,
        test=test,
        rationale_tries=rationale_tries,
        labels_licence=labels_licence,
        sft=chosen["sft"],
        tuning=chosen["tuning"],
        seed=seed,
        progress=output.progress,
    )
    output.show(result)
