"""`preceptor label`: comparisons, or prompts and a policy, to a preference dataset."""

from pathlib import Path
from typing import Annotated

import typer

from preceptor.cli import options as o


def label(
    data: Annotated[Path, typer.Argument(help="Comparisons (.jsonl, .parquet, a folder), or prompts with --policy.")],
    out: Annotated[Path, typer.Option(help="Folder of the dataset; give it again to go on.")],
    judge: o.Judges = None,
    constitution: o.Constitutions = None,
    variant: o.Variants = None,
    judges: o.JudgesFile = None,
    calibration: o.Calibrations = None,
    policy: Annotated[str | None, typer.Option(metavar="MODEL", help="Sample candidates for the prompts.")] = None,
    samples: Annotated[int, typer.Option(min=2, help="With --policy: candidates per prompt.")] = 2,
    temperature: Annotated[float, typer.Option(min=0.01, help="With --policy: of the candidates.")] = 1.0,
    max_new_tokens: Annotated[int, typer.Option(min=1, help="With --policy: most tokens of a candidate.")] = 256,
    design: Annotated[str, typer.Option(help="Pairs of k responses to compare: all or circular.")] = "all",
    limit: Annotated[int | None, typer.Option(min=1, help="Label only so many rows from the first.")] = None,
    seed: Annotated[int, typer.Option(min=0, help="With --policy: of the candidates.")] = 0,
    strict: Annotated[bool, typer.Option("--strict", help="Refuse malformed rows instead of skipping them.")] = False,
    max_failure_rate: Annotated[float, typer.Option(min=0, max=1, help="Stop when more judgements fail.")] = 0.1,
    steps: Annotated[
        bool, typer.Option("--steps", help="Score trajectories too, as a whole and step by step.")
    ] = False,
    retry_failed: Annotated[bool, typer.Option("--retry-failed", help="Ask again what did not get through.")] = False,
    to_people: Annotated[
        int, typer.Option(min=0, metavar="N", help="Write the N unlabelled comparisons that judges dispute most.")
    ] = 0,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Count calls, tokens and dollars first.")] = False,
    budget: o.Budget = None,
    concurrency: o.Concurrency = 8,
    requests_per_minute: o.PerMinute = None,
    tokens_per_minute: o.TokensPerMinute = None,
    timeout: o.Timeout = 120.0,
    prices: o.Prices = None,
    as_json: o.AsJson = False,
) -> None:
    """Judge comparisons and write a preference dataset that TRL trains on. Several judges are an ensemble."""
    from preceptor.cli.work import show_dry_run, show_labels
    from preceptor.core.errors import UsageError
    from preceptor.tasks.candidates import Sampling
    from preceptor.tasks.label import LabelJob, run_label
    from preceptor.tasks.label import dry_run as count_first

    if design not in ("all", "circular"):
        raise UsageError(f'--design {design}: expected "all" or "circular"')
    sampling = None
    if policy is not None:
        sampling = o.checked(
            Sampling,
            policy=policy,
            samples=samples,
            temperature=temperature,
            max_new_tokens=max_new_tokens,
            design=design,
            seed=seed,
        )
    job = LabelJob(
        data=data,
        out=out,
        judges=o.judge_specs(judges, judge, constitution, variant, calibration),
        sampling=sampling,
        design=design,
        limit=limit,
        strict=strict,
        max_failure_rate=max_failure_rate,
        budget=budget,
        steps=steps,
        retry_failed=retry_failed,
        to_people=to_people,
        connection=o.connection(concurrency, requests_per_minute, tokens_per_minute, timeout, prices),
    )
    if dry_run:
        show_dry_run(count_first(job), as_json=as_json)
        return
    show_labels(run_label(job), out, as_json=as_json)
