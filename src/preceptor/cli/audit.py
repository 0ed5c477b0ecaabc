"""`preceptor audit`: judges against people."""

from pathlib import Path
from typing import Annotated

import typer

from preceptor.cli import options as o
from preceptor.display.terminal import say_json


def audit(
    data: Annotated[
        Path, typer.Argument(help="Comparisons with people's label or ratings (.jsonl, .parquet, folder).")
    ],
    out: Annotated[
        Path | None, typer.Option(help="Folder of the audit, given again to go on. Default: audits/DATA.")
    ] = None,
    judge: o.Judges = None,
    constitution: o.Constitutions = None,
    variant: o.Variants = None,
    judges: o.JudgesFile = None,
    calibration: o.Calibrations = None,
    ensemble: Annotated[bool, typer.Option("--ensemble", help="Audit all judges together as well.")] = False,
    save_calibration: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE", help="Calibrate the one judge on all labels, for `label`; replaces no other file."
        ),
    ] = None,
    method: Annotated[str, typer.Option(help="Of the calibration: platt or temperature.")] = "platt",
    limit: Annotated[int | None, typer.Option(min=1, help="Use only so many rows from the first.")] = None,
    strict: Annotated[bool, typer.Option("--strict", help="Refuse unusable rows instead of skipping them.")] = False,
    budget: o.Budget = None,
    concurrency: o.Concurrency = 8,
    requests_per_minute: o.PerMinute = None,
    tokens_per_minute: o.TokensPerMinute = None,
    timeout: o.Timeout = 120.0,
    prices: o.Prices = None,
    as_json: o.AsJson = False,
) -> None:
    """Measure judges against people: agreement, position and length bias, calibration, speed and cost."""
    import json

    from preceptor.cli.audit_table import show_audit
    from preceptor.core.errors import UsageError
    from preceptor.tasks.audit import AuditJob, run_audit

    if method not in ("platt", "temperature"):
        raise UsageError(f'--method {method}: expected "platt" or "temperature"')
    folder = out or Path("audits") / data.stem
    job = AuditJob(
        data=data,
        out=folder,
        judges=o.judge_specs(judges, judge, constitution, variant, calibration),
        ensemble=ensemble,
        limit=limit,
        strict=strict,
        budget=budget,
        save_calibration=save_calibration,
        method=method,
        connection=o.connection(concurrency, requests_per_minute, tokens_per_minute, timeout, prices),
    )
    result = run_audit(job)
    if as_json:
        say_json(json.dumps(result, indent=1, ensure_ascii=False))
    else:
        show_audit(result, folder)
