"""`preceptor revise`: critique and revision by a constitution."""

from pathlib import Path
from typing import Annotated

import typer

from preceptor.cli import options as o
from preceptor.display.terminal import say, say_json


def revise(
    prompts: Annotated[Path, typer.Argument(help="Prompts (.jsonl, .parquet, a folder).")],
    out: Annotated[Path, typer.Option(help="Folder for pairs and fine-tuning data; give it again to go on.")],
    model: Annotated[
        str, typer.Option(metavar="MODEL", help="The model that drafts, criticises and revises.")
    ] = "embedded",
    constitution: Annotated[str, typer.Option(metavar="NAME", help="A shipped constitution or a .toml.")] = "harmless",
    rounds: Annotated[int, typer.Option(min=1, help="Critiques and revisions of each draft.")] = 1,
    temperature: Annotated[float, typer.Option(min=0.0, help="0 is greedy.")] = 0.7,
    max_new_tokens: Annotated[int, typer.Option(min=8, help="Most tokens of a draft or a revision.")] = 256,
    limit: Annotated[int | None, typer.Option(min=1, help="Only so many prompts from the first.")] = None,
    seed: Annotated[int, typer.Option(min=0)] = 0,
    budget: o.Budget = None,
    concurrency: o.Concurrency = 8,
    requests_per_minute: o.PerMinute = None,
    tokens_per_minute: o.TokensPerMinute = None,
    timeout: o.Timeout = 120.0,
    prices: o.Prices = None,
    as_json: o.AsJson = False,
) -> None:
    """Let a model criticise and rewrite its answers: pairs (revised over draft) and fine-tuning data."""
    import json

    from preceptor.judging.revision import RevisionSettings
    from preceptor.tasks.revise import ReviseJob, run_revise

    job = ReviseJob(
        prompts=prompts,
        out=out,
        model=model,
        constitution=constitution,
        settings=o.checked(
            RevisionSettings, rounds=rounds, temperature=temperature, max_new_tokens=max_new_tokens, seed=seed
        ),
        limit=limit,
        budget=budget,
        connection=o.connection(concurrency, requests_per_minute, tokens_per_minute, timeout, prices),
    )
    summary = run_revise(job)
    if as_json:
        say_json(json.dumps(summary, indent=1, ensure_ascii=False))
    else:
        for note in summary["notes"]:
            say(f"note: {note}")
        say(f"{summary['revised']} revised, {summary['unchanged']} of them unchanged, {summary['failed']} failed")
        say(f"pairs {out / 'preferences.jsonl'}\nfine-tuning data {out / 'sft.jsonl'}")
