"""`preceptor evaluate`: policies against each other."""

from pathlib import Path
from typing import Annotated

import typer

from preceptor.cli import options as o
from preceptor.display.terminal import say_json


def evaluate(
    policies: Annotated[
        list[str],
        typer.Argument(
            metavar="POLICY...",
            help="NAME=SOURCE or SOURCE, the baseline first. A source is a model, a run's directory, a file of "
            "responses, or `references`. One run alone: its base against its result.",
        ),
    ],
    out: Annotated[Path, typer.Option(help="Folder of the evaluation; give it again to go on.")],
    prompts: Annotated[
        list[str] | None,
        typer.Option(
            metavar="[COHORT=]FILE",
            help="Prompts; repeat for several. Default: held-out, the prompts that the run held out.",
        ),
    ] = None,
    judge: o.Judges = None,
    constitution: o.Constitutions = None,
    variant: o.Variants = None,
    judges: o.JudgesFile = None,
    calibration: o.Calibrations = None,
    samples: Annotated[int, typer.Option(min=1, help="Responses of a model to each prompt.")] = 1,
    temperature: Annotated[float, typer.Option(min=0.01, help="Of these responses.")] = 1.0,
    max_new_tokens: Annotated[int, typer.Option(min=1, help="Most tokens of a response.")] = 256,
    seed: Annotated[int, typer.Option(min=0, help="Of these responses.")] = 0,
    against_first: Annotated[
        bool, typer.Option("--against-first", help="Compare with the baseline alone, not every two policies.")
    ] = False,
    no_training_judge: Annotated[
        bool, typer.Option("--no-training-judge", help="Do not ask the judge that trained a run as well.")
    ] = False,
    rubric: Annotated[
        list[str] | None,
        typer.Option(metavar="CONSTITUTION", help="Score every response by its rubric, e.g. harmless; repeatable."),
    ] = None,
    grade: Annotated[
        bool, typer.Option("--grade", help="Let the judge grade responses against the prompts' reference answers too.")
    ] = False,
    audit: Annotated[Path | None, typer.Option(metavar="FILE", help="audit.json with an audit of the judge.")] = None,
    fail_on_regression: Annotated[
        bool, typer.Option("--fail-on-regression", help="Exit with 1 when a cohort regressed.")
    ] = False,
    limit: Annotated[int | None, typer.Option(min=1, help="Use only so many prompts of each file.")] = None,
    max_failure_rate: Annotated[float, typer.Option(min=0, max=1, help="Stop when more judgements fail.")] = 0.1,
    human_price: Annotated[
        float | None,
        typer.Option(metavar="DOLLARS", callback=o.dollars, help="What people would be paid for a label."),
    ] = None,
    budget: o.Budget = None,
    concurrency: o.Concurrency = 8,
    requests_per_minute: o.PerMinute = None,
    tokens_per_minute: o.TokensPerMinute = None,
    timeout: o.Timeout = 120.0,
    prices: o.Prices = None,
    as_json: o.AsJson = False,
) -> None:
    """Let a judge that did not train them compare policies: win rates, length control, cohorts, regressions."""
    from preceptor.cli.evaluation_table import regressions, show_evaluation
    from preceptor.evaluation.cost import HUMAN_USD_PER_LABEL
    from preceptor.tasks.candidates import Answering
    from preceptor.tasks.evaluate.evaluate import evaluate as evaluate_policies
    from preceptor.tasks.evaluate.policies import parse_policies

    evaluation = evaluate_policies(
        {policy.name: policy.source for policy in parse_policies(policies)},
        judge=o.judge_specs(judges, judge, constitution, variant, calibration),
        prompts=[Path(text) for text in prompts] if prompts else None,
        out=out,
        answering=o.checked(
            Answering, samples=samples, temperature=temperature, max_new_tokens=max_new_tokens, seed=seed
        ),
        against_first=against_first,
        ask_training_judge=not no_training_judge,
        rubrics=rubric or (),
        audit=audit,
        grade=grade,
        limit=limit,
        max_failure_rate=max_failure_rate,
        human_usd_per_label=HUMAN_USD_PER_LABEL if human_price is None else human_price,
        budget=budget,
        connection=o.connection(concurrency, requests_per_minute, tokens_per_minute, timeout, prices),
    )
    if as_json:
        say_json(evaluation.model_dump_json(indent=1))
    else:
        show_evaluation(evaluation, out)
    if fail_on_regression and regressions(evaluation):
        raise typer.Exit(1)
