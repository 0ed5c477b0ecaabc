"""Options that several commands have, and what they mean together."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import typer

from preceptor.core.errors import UsageError

if TYPE_CHECKING:
    from pydantic import BaseModel

    from preceptor.backends.connection import Connection
    from preceptor.judging.specs import JudgeSpec


def dollars(parameter: typer.CallbackParam, value: float | None) -> float | None:
    """An option's amount of dollars. (Imported late: the rest of preceptor takes time to load.)

    Raises: UsageError for NaN, infinity and less than 0.
    """
    from preceptor.core.validation import check_dollars

    return check_dollars(parameter.opts[-1], value)


Settings = TypeVar("Settings", bound="BaseModel")

Judges = Annotated[
    list[str] | None, typer.Option("--judge", metavar="MODEL", help="A judge's model; repeat for several judges.")
]
Constitutions = Annotated[
    list[str] | None,
    typer.Option("--constitution", metavar="NAME", help="A shipped constitution or a .toml; repeat for several."),
]
Variants = Annotated[
    list[str] | None,
    typer.Option(
        "--variant",
        metavar="NAME",
        help="How the judge is asked: base, detailed, cot, K-shot, sc-N, single, log-odds, sampled, each, scored, "
        "joined by +.",
    ),
]
JudgesFile = Annotated[
    Path | None, typer.Option("--judges", metavar="FILE", help="A TOML file of [[judges]] in place of the three above.")
]
Calibrations = Annotated[
    list[str] | None, typer.Option("--calibration", metavar="FILE", help="Calibration of a judge; one for each.")
]
Concurrency = Annotated[int, typer.Option(help="Requests to a model server in flight at once.")]
PerMinute = Annotated[float | None, typer.Option(metavar="N", help="Requests per minute to a model server, at most.")]
TokensPerMinute = Annotated[
    float | None, typer.Option(metavar="N", help="Tokens per minute to a model server, at most.")
]
Timeout = Annotated[
    float, typer.Option(metavar="SECONDS", help="Time for one attempt at a call, the whole answer included.")
]
Prices = Annotated[Path | None, typer.Option(metavar="FILE", help="Prices of models, before the built-in ones.")]
Budget = Annotated[
    float | None,
    typer.Option(metavar="DOLLARS", callback=dollars, help="Stop before all calls on record together cost more."),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print the result as JSON on standard output.")]


def judge_specs(
    file: Path | None,
    models: list[str] | None,
    constitutions: list[str] | None,
    variants: list[str] | None,
    calibrations: list[str] | None,
) -> "tuple[JudgeSpec, ...]":
    """The judges that the options name: those of the file, or every combination of models, constitutions, variants.

    Raises: UsageError where both are given.
    """
    from preceptor.judging.specs import every_judge, read_judges

    if file is None:
        return every_judge(
            models or ["embedded"], constitutions or ["helpful"], variants or ["detailed"], calibrations or []
        )
    if models or constitutions or variants or calibrations:
        raise UsageError("--judges names all judges; give no --judge, --constitution, --variant, --calibration with it")
    return read_judges(file)


def connection(
    concurrency: int,
    requests_per_minute: float | None,
    tokens_per_minute: float | None,
    timeout: float,
    prices: Path | None,
) -> "Connection":
    """How model servers are reached.

    Raises: UsageError for a value out of bounds.
    """
    from preceptor.backends.connection import Connection

    return checked(
        Connection,
        concurrency=concurrency,
        requests_per_minute=requests_per_minute,
        tokens_per_minute=tokens_per_minute,
        timeout_s=timeout,
        prices=prices,
    )


def checked(kind: "type[Settings]", **values: Any) -> "Settings":
    """Settings made of options.

    Raises: UsageError for a value out of bounds.
    """
    from pydantic import ValidationError

    from preceptor.core.validation import explain

    try:
        return kind(**values)
    except ValidationError as error:
        raise UsageError(explain(error, kind)) from error
