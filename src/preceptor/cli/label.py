"""`preceptor label`: turns comparisons, or prompts and a policy, into a preference dataset."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from preceptor.cli import options as o

if TYPE_CHECKING:
    from preceptor.backends.connection import Connection
    from preceptor.judging.specs import JudgeSpec

RAY = "Workers"
"""The panel of their options in `--help`."""


@o.with_options(judges=o.judges, connection=o.connection, output=o.output)
def label(
    data: Annotated[
        Path, typer.Argument(help="Comparisons (.jsonl, .parquet, a folder, hf:ORG/NAME), or prompts with --policy.")
    ],
    out: Annotated[
        Path | None,
        typer.Option(metavar="FOLDER", help="Folder of the dataset; give it again to resume. Not needed to --dry-run."),
    ] = None,
    limit: Annotated[int | None, typer.Option(min=1, help="Label only the first N rows.")] = None,
    strict: Annotated[bool, typer.Option("--strict", help="Refuse unusable rows instead of skipping them.")] = False,
    max_failure_rate: Annotated[
        float, typer.Option(min=0, max=1, help="Stop when more than this share of judgements fails.")
    ] = 0.1,
    steps: Annotated[
        bool, typer.Option("--steps", help="Also score trajectories, as a whole and step by step.")
    ] = False,
    retry_failed: Annotated[bool, typer.Option("--retry-failed", help="Repeat calls that failed.")] = False,
    to_people: Annotated[
        int,
        typer.Option(min=0, metavar="N", help="Write the N comparisons that people are most needed for."),
    ] = 0,
    to_people_by: Annotated[
        str,
        typer.Option(
            metavar="WHAT",
            help="Which those are: dispute (judges disagree), or gain (a calibrated judge is least sure).",
            autocompletion=lambda: ["dispute", "gain"],
        ),
    ] = "dispute",
    canary: Annotated[
        int,
        typer.Option(
            min=0, metavar="N", help="First ask N recorded questions again, and stop if a judge's model has changed."
        ),
    ] = 0,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Estimate calls, tokens and dollars without any call.")
    ] = False,
    policy: Annotated[
        str | None,
        typer.Option(metavar="MODEL", help="Sample candidates for the prompts.", rich_help_panel=o.SAMPLING),
    ] = None,
    samples: Annotated[int, typer.Option(min=2, help="Candidates per prompt.", rich_help_panel=o.SAMPLING)] = 2,
    temperature: Annotated[
        float, typer.Option(min=0.01, help="Sampling temperature.", rich_help_panel=o.SAMPLING)
    ] = 1.0,
    max_new_tokens: Annotated[
        int, typer.Option(min=1, help="Maximum tokens of a candidate.", rich_help_panel=o.SAMPLING)
    ] = 256,
    thinking: Annotated[
        str | None,
        typer.Option(
            metavar="TOKENS",
            help="Have the model think first, at most so many tokens; or off. No judge sees the thoughts.",
            rich_help_panel=o.SAMPLING,
        ),
    ] = None,
    design: Annotated[
        str,
        typer.Option(
            help="Pairs of k responses to compare: all, circular, anchor, swiss or knockout.",
            rich_help_panel=o.SAMPLING,
            autocompletion=lambda: ["all", "circular", "anchor", "swiss", "knockout"],
        ),
    ] = "all",
    seed: Annotated[int, typer.Option(min=0, help="Seed of the sampling.", rich_help_panel=o.SAMPLING)] = 0,
    budget: o.Budget = None,
    ray: Annotated[
        str | None,
        typer.Option(
            metavar="ADDRESS",
            help="Label on a Ray cluster: HOST:PORT, auto, or local to start one on this machine.",
            rich_help_panel=RAY,
        ),
    ] = None,
    workers: Annotated[
        int | None,
        typer.Option(
            min=1, help="Workers on the cluster.", show_default="one for each GPU or core", rich_help_panel=RAY
        ),
    ] = None,
    *,
    judges: "tuple[JudgeSpec, ...]",
    connection: "Connection",
    output: o.Output,
) -> None:
    """Judge comparisons and write a preference dataset that TRL trains on. Several judges form an ensemble."""
    from preceptor.core.errors import UsageError
    from preceptor.tasks.candidates import Sampling
    from preceptor.tasks.label import label as label_rows
    from preceptor.tasks.label import plan_label

    if design not in ("all", "circular", "anchor", "swiss", "knockout"):
        raise UsageError(f'--design {design}: expected "all", "circular", "anchor", "swiss" or "knockout"')
    if to_people_by not in ("dispute", "gain"):
        raise UsageError(f'--to-people-by {to_people_by}: expected "dispute" or "gain"')
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
            thinking=o.tokens_or_off(thinking),
        )
    if dry_run:
        plan = plan_label(
            data,
            judges=judges,
            sampling=sampling,
            design=design,
            limit=limit,
            strict=strict,
            budget=budget,
            steps=steps,
            connection=connection,
            progress=output.progress,
        )
        output.show(plan)
        return
    if out is None:
        raise UsageError("--out: the labels need a folder; add --out FOLDER, or --dry-run to estimate the calls only")
    labels = label_rows(
        data,
        judges=judges,
        out=out,
        sampling=sampling,
        design=design,
        limit=limit,
        strict=strict,
        max_failure_rate=max_failure_rate,
        budget=budget,
        steps=steps,
        retry_failed=retry_failed,
        to_people=to_people,
        to_people_by=to_people_by,
        canary=canary,
        connection=connection,
        ray=ray,
        workers=workers,
        progress=output.progress,
    )
    output.show(labels)
