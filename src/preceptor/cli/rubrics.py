"""`preceptor rubrics`: writes rubrics for prompts, and measures rubrics."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from preceptor.cli import options as o
from preceptor.cli.arguments import Command, Group

if TYPE_CHECKING:
    from preceptor.backends.connection import Connection

rubrics = typer.Typer(cls=Group, help="Write rubrics for prompts, and measure them.", no_args_is_help=True)


@rubrics.command("write", cls=Command)
@o.with_options(connection=o.connection, output=o.output)
def write(
    prompts: Annotated[Path, typer.Argument(help="Prompts, or comparisons (.jsonl, .parquet, a folder, hf:ORG/NAME).")],
    out: Annotated[
        Path | None,
        typer.Option(
            metavar="FOLDER", help="Folder for the rows with rubrics; give it again to resume. Not needed to --dry-run."
        ),
    ] = None,
    model: Annotated[
        str, typer.Option(metavar="MODEL", help="The model that writes, rephrases and answers.")
    ] = "embedded",
    judge: Annotated[
        str | None,
        typer.Option(metavar="MODEL", help="The model that judges the items.", show_default="the writer"),
    ] = None,
    items: Annotated[int, typer.Option(min=1, help="Most criteria for each prompt.")] = 8,
    candidates: Annotated[
        int,
        typer.Option(
            min=0, help="Responses that items are tried on: those of the rows, and samples up to this number."
        ),
    ] = 4,
    max_new_tokens: Annotated[int, typer.Option(min=1, help="Maximum tokens of a sampled response.")] = 256,
    limit: Annotated[int | None, typer.Option(min=1, help="Use only the first N rows.")] = None,
    seed: Annotated[int, typer.Option(min=0, help="Seed of the sampling.")] = 0,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Estimate calls, tokens and dollars without any call.")
    ] = False,
    budget: o.Budget = None,
    *,
    connection: "Connection",
    output: o.Output,
) -> None:
    """Write a rubric for each prompt, try every item on responses, and keep the items that work."""
    from preceptor.core.errors import UsageError
    from preceptor.results.rubrics import RubricWritingSettings
    from preceptor.tasks.rubrics.write import plan_rubrics, write_rubrics

    settings = o.checked(
        RubricWritingSettings, items=items, candidates=candidates, max_new_tokens=max_new_tokens, seed=seed
    )
    if dry_run:
        plan = plan_rubrics(prompts, model=model, judge=judge, settings=settings, limit=limit, connection=connection)
        output.show(plan)
        return
    if out is None:
        raise UsageError("--out: the rubrics need a folder; add --out FOLDER, or --dry-run to estimate the calls only")
    written = write_rubrics(
        prompts,
        model=model,
        judge=judge,
        out=out,
        settings=settings,
        limit=limit,
        budget=budget,
        connection=connection,
        progress=output.progress,
    )
    output.show(written)


@rubrics.command("audit", cls=Command)
@o.with_options(connection=o.connection, output=o.output)
def audit(
    data: Annotated[
        Path, typer.Argument(help="Comparisons, best with people's labels (.jsonl, .parquet, a folder, hf:ORG/NAME).")
    ],
    judge: Annotated[str, typer.Option(metavar="MODEL", help="The model that judges the items.")] = "embedded",
    rubrics: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Prompts with rubrics.", show_default="the rubrics in DATA"),
    ] = None,
    one_call: Annotated[
        bool, typer.Option("--one-call", help="Ask for all items in one call, in both orders.")
    ] = False,
    out: Annotated[
        Path | None,
        typer.Option(
            metavar="FOLDER", help="Folder of the audit; give it again to resume.", show_default="audits/rubrics/DATA"
        ),
    ] = None,
    limit: Annotated[int | None, typer.Option(min=1, help="Use only the first N rows.")] = None,
    budget: o.Budget = None,
    *,
    connection: "Connection",
    output: o.Output,
) -> None:
    """Measure rubrics: what the items tell apart, agreement with people, length, order, abstentions, cost."""
    from preceptor.judging.settings import RubricSettings
    from preceptor.tasks.rubrics.audit import audit_rubrics

    result = audit_rubrics(
        data,
        judge=judge,
        rubrics=rubrics,
        out=out or Path("audits") / "rubrics" / data.stem,
        settings=RubricSettings(failed_items="leave_out", criteria="one_call" if one_call else "each"),
        limit=limit,
        budget=budget,
        connection=connection,
        progress=output.progress,
    )
    output.show(result, lambda: f"{result}\n\n{result.item_table()}")
