"""`preceptor audit`: how far judges agree with people."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, cast

import typer

from preceptor.cli import names
from preceptor.cli import options as o

if TYPE_CHECKING:
    from preceptor.backends.connection import Connection
    from preceptor.judging.specs import JudgeSpec
    from preceptor.store.benchmarks.read import BenchmarkName


@o.with_options(judges=o.judges, connection=o.connection, output=o.output)
def audit(
    data: Annotated[
        Path, typer.Argument(help="Comparisons that people labelled (.jsonl, .parquet, a folder, hf:ORG/NAME).")
    ],
    out: Annotated[
        Path | None,
        typer.Option(
            metavar="FOLDER", help="Folder of the audit; give it again to resume.", show_default="audits/DATA"
        ),
    ] = None,
    ensemble: Annotated[bool, typer.Option("--ensemble", help="Also audit all judges together.")] = False,
    cascade: Annotated[
        bool,
        typer.Option("--cascade", help="Also calibrate the judges as a cascade, the cheapest first, and audit it."),
    ] = False,
    agreement: Annotated[
        float, typer.Option(metavar="SHARE", help="Share of a cascade's answers that people are to agree with.")
    ] = 0.8,
    certainty: Annotated[
        float, typer.Option(metavar="SHARE", help="Probability with which the labels guarantee that share.")
    ] = 0.9,
    save_cascade: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE.json", help="Write the cascade, for `label --judges FILE.json`, if one is certified."
        ),
    ] = None,
    save_calibration: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE", help="Calibrate a single judge on all labels, for `label`; overwrites only a calibration."
        ),
    ] = None,
    licence: Annotated[
        Path | None,
        typer.Option(metavar="FILE.toml", help="Write a single judge's licence to train, which recipes can ask for."),
    ] = None,
    save_bias: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Write what a single judge prefers in excess of people, for `bias` in a recipe's [judge] table.",
        ),
    ] = None,
    method: Annotated[
        str,
        typer.Option(help="How to calibrate: platt or temperature.", autocompletion=lambda: ["platt", "temperature"]),
    ] = "platt",
    attack: Annotated[
        str | None,
        typer.Option(
            metavar="ATTACK", help="Attack the judges: all, the name of one attack, or a file of hard negatives."
        ),
    ] = None,
    attack_rows: Annotated[int, typer.Option(min=1, metavar="N", help="Attack on N of the rows.")] = 50,
    attack_search: Annotated[
        int,
        typer.Option(min=0, metavar="N", help="Edit worse responses until they win, with N comparisons for each."),
    ] = 0,
    canary: Annotated[
        int,
        typer.Option(
            min=0, metavar="N", help="First ask N recorded questions of the folder again: is it still the same model?"
        ),
    ] = 0,
    format: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="Read the data as this benchmark is published, and score as its authors do, such as rewardbench.",
            autocompletion=names.benchmarks,
        ),
    ] = None,
    limit: Annotated[int | None, typer.Option(min=1, help="Use only the first N rows.")] = None,
    strict: Annotated[bool, typer.Option("--strict", help="Refuse unusable rows instead of skipping them.")] = False,
    budget: o.Budget = None,
    *,
    judges: "tuple[JudgeSpec, ...]",
    connection: "Connection",
    output: o.Output,
) -> None:
    """Measure judges against people: agreement, position and length bias, calibration, speed and cost."""
    from preceptor.core.errors import UsageError, nearest
    from preceptor.tasks.audit import audit as audit_judges
    from preceptor.tasks.step_audit import audit_steps

    if method not in ("platt", "temperature"):
        raise UsageError(f'--method {method}: expected "platt" or "temperature"')
    if format is not None and format not in names.benchmarks(""):
        raise UsageError(f"--format {format}: {nearest(format, names.benchmarks(''))}")
    out = out or Path("audits") / data.stem
    if format in ("processbench", "prm800k"):
        of_pairs = {
            "--ensemble": ensemble,
            "--cascade": cascade,
            "--save-cascade": save_cascade,
            "--save-calibration": save_calibration,
            "--save-bias": save_bias,
            "--licence": licence,
            "--attack": attack,
            "--attack-search": attack_search,
            "--canary": canary,
        }
        if given := [name for name, value in of_pairs.items() if value]:
            raise UsageError(f"--format {format}: its judges score single steps; leave out {', '.join(given)}")
        steps = audit_steps(
            data,
            judges=judges,
            format=format,
            out=out,
            limit=limit,
            strict=strict,
            budget=budget,
            connection=connection,
            progress=output.progress,
        )
        output.show(steps)
        return
    result = audit_judges(
        data,
        judges=judges,
        out=out,
        ensemble=ensemble,
        cascade=cascade,
        agreement=agreement,
        certainty=certainty,
        save_cascade=save_cascade,
        canary=canary,
        attack=attack,
        attack_rows=attack_rows,
        attack_search=attack_search,
        licence=licence,
        format=cast("BenchmarkName | None", format),
        limit=limit,
        strict=strict,
        budget=budget,
        save_calibration=save_calibration,
        save_bias=save_bias,
        method=method,
        connection=connection,
        progress=output.progress,
    )
    output.show(result)
