"""`preceptor train`: one learner by itself."""

from pathlib import Path
from typing import Annotated, Any

import typer

from preceptor.cli import options as o
from preceptor.cli.arguments import Command

train = typer.Typer(help="Train one learner by itself; `preceptor run` has whole methods.", no_args_is_help=True)


@train.command("reward", cls=Command)
@o.with_options(output=o.output)
def reward(
    data: Annotated[
        list[Path],
        typer.Argument(help="Labelled pairs: what `label` wrote, people's comparisons, or TRL preference rows."),
    ],
    out: Annotated[Path, typer.Option(help="Folder of the model; give it again to resume.")],
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
    """Train a reward model on preferences and measure it on pairs that it has not seen."""
    from preceptor.recipes.load import read_tables
    from preceptor.training.reward_model.settings import RewardModelSettings
    from preceptor.training.tuning import TuningSettings

    tables = {"reward_model": RewardModelSettings, "tuning": TuningSettings}
    chosen: dict[str, Any] = read_tables(settings or [], tables)

    from preceptor.core.errors import PreceptorError
    from preceptor.methods.train_reward import RewardJob, run_train_reward
    from preceptor.training.processes import OF_MAIN, Processes

    job = RewardJob(tuple(data), out, model, chosen["reward_model"], chosen["tuning"], test, seed)
    processes = Processes()
    if not processes.is_main:
        try:
            run_train_reward(job, processes)
        except PreceptorError as error:
            if OF_MAIN not in getattr(error, "__notes__", ()):
                raise
            raise typer.Exit(error.exit_code) from error  # the main process says why
        return
    summary = run_train_reward(job, processes, output.progress)
    output.show(summary, lambda: _text(summary, out))


def _text(summary: dict[str, Any], out: Path) -> str:
    lines = [
        f"{summary['training_pairs']} pairs ({summary['labels']} labels) in {summary['seconds']:.0f} s",
        f"held out: {summary['in_words']}",
        f"model {out / 'model'}",
    ]
    return "\n".join(lines)
