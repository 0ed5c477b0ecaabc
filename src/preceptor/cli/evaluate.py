"""`preceptor evaluate`: compares policies."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from preceptor.cli import names
from preceptor.cli import options as o

if TYPE_CHECKING:
    from preceptor.backends.connection import Connection
    from preceptor.judging.specs import JudgeSpec


@o.with_options(judges=o.judges, connection=o.connection, output=o.output)
def evaluate(
    policies: Annotated[
        list[str],
        typer.Argument(
            metavar="POLICY...",
            help="NAME=SOURCE or SOURCE, the baseline first. A source is a model, a run's directory, a file of "
            "responses, or `references`. A single run compares its base with its result.",
        ),
    ],
    out: Annotated[Path, typer.Option(metavar="FOLDER", help="Folder of the evaluation; give it again to resume.")],
    prompts: Annotated[
        list[str] | None,
        typer.Option(
            metavar="[COHORT=]FILE",
            help="Prompts; repeat for several.",
            show_default="held-out, the prompts that the run held out",
        ),
    ] = None,
    samples: Annotated[
        int, typer.Option(min=1, help="Responses that a model gives to each prompt.", rich_help_panel=o.SAMPLING)
    ] = 1,
    temperature: Annotated[
        float, typer.Option(min=0.01, help="Sampling temperature.", rich_help_panel=o.SAMPLING)
    ] = 1.0,
    max_new_tokens: Annotated[
        int, typer.Option(min=1, help="Maximum tokens of a response.", rich_help_panel=o.SAMPLING)
    ] = 256,
    thinking: Annotated[
        str | None,
        typer.Option(
            metavar="TOKENS",
            help="Have models think first, at most so many tokens; or off. No judge sees the thoughts.",
            rich_help_panel=o.SAMPLING,
        ),
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="Seed of the sampling.", rich_help_panel=o.SAMPLING)] = 0,
    against_first: Annotated[
        bool, typer.Option("--against-first", help="Compare only with the baseline, not every pair of policies.")
    ] = False,
    no_training_judge: Annotated[
        bool, typer.Option("--no-training-judge", help="Skip the judge that trained a run.")
    ] = False,
    rubric: Annotated[
        list[str] | None,
        typer.Option(
            metavar="CONSTITUTION",
            help="Also score every response by this rubric; repeat for several.",
            autocompletion=names.constitutions,
        ),
    ] = None,
    suite: Annotated[
        str | None,
        typer.Option(
            metavar="rlaif",
            help="Also score by the shipped evaluators for what the training judge's constitution leaves open, such as "
            "needless refusals after training for harmlessness.",
        ),
    ] = None,
    grade: Annotated[
        bool, typer.Option("--grade", help="Also let the judge grade responses against the prompts' reference answers.")
    ] = False,
    audit: Annotated[Path | None, typer.Option(metavar="FILE", help="audit.json with an audit of the judge.")] = None,
    fail_on_regression: Annotated[
        bool, typer.Option("--fail-on-regression", help="Exit with code 1 if a cohort regressed.")
    ] = False,
    limit: Annotated[int | None, typer.Option(min=1, help="Use only the first N prompts of each file.")] = None,
    max_failure_rate: Annotated[
        float, typer.Option(min=0, max=1, help="Stop when more than this share of judgements fails.")
    ] = 0.1,
    human_price: Annotated[
        float | None,
        typer.Option(metavar="DOLLARS", callback=o.dollars, help="Price of a human label."),
    ] = None,
    budget: o.Budget = None,
    *,
    judges: "tuple[JudgeSpec, ...]",
    connection: "Connection",
    output: o.Output,
) -> None:
    """Compare policies by a judge that took no part in training: win rates, length control, cohorts, regressions."""
    from preceptor.evaluation.policies.cost import HUMAN_USD_PER_LABEL
    from preceptor.tasks.candidates import Answering
    from preceptor.tasks.evaluate.evaluate import evaluate as evaluate_policies
    from preceptor.tasks.evaluate.policies import parse_policies

    result = evaluate_policies(
        {policy.name: policy.source for policy in parse_policies(policies)},
        judge=judges,
        prompts=[Path(text) for text in prompts] if prompts else None,
        out=out,
        answering=o.checked(
            Answering,
            samples=samples,
            temperature=temperature,
            max_new_tokens=max_new_tokens,
            seed=seed,
            thinking=o.tokens_or_off(thinking),
        ),
        against_first=against_first,
        ask_training_judge=not no_training_judge,
        rubrics=rubric or (),
        suite=suite,
        audit=audit,
        grade=grade,
        limit=limit,
        max_failure_rate=max_failure_rate,
        human_usd_per_label=HUMAN_USD_PER_LABEL if human_price is None else human_price,
        budget=budget,
        connection=connection,
        progress=output.progress,
    )
    output.show(result)
    if fail_on_regression and result.regressions:
        raise typer.Exit(1)
