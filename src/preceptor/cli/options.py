"""Options shared by several commands. Each group is a function: its parameters are the options, and the command gets
its return value. `with_options` adds groups to a command.
"""

import inspect
import json
from collections.abc import Callable, Mapping
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import typer

from preceptor.cli import names
from preceptor.core.errors import UsageError

if TYPE_CHECKING:
    from pydantic import BaseModel

    from preceptor.backends.connection import Connection
    from preceptor.core.progress import Progress
    from preceptor.judging.specs import JudgeSpec

JUDGES = "Judges"
SAMPLING = "Sampling"
SERVERS = "Model servers"
OUTPUT = "Output"
"""Panels of options in `--help`."""

Settings = TypeVar("Settings", bound="BaseModel")


def with_options(**groups: Callable[..., Any]) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Adds the options of these groups to a command. The command needs a parameter with each group's name."""

    def decorate(command: Callable[..., None]) -> Callable[..., None]:
        options = {name: tuple(inspect.signature(group).parameters.values()) for name, group in groups.items()}
        own = [
            parameter for parameter in inspect.signature(command).parameters.values() if parameter.name not in groups
        ]

        @wraps(command)
        def called(**values: Any) -> None:
            made = {
                name: groups[name](**{option.name: values.pop(option.name) for option in of_group})
                for name, of_group in options.items()
            }
            command(**values, **made)

        every = [
            parameter.replace(kind=inspect.Parameter.KEYWORD_ONLY) for parameter in (*own, *sum(options.values(), ()))
        ]
        del called.__wrapped__  # typer reads the signature given here
        called.__signature__ = inspect.Signature(every)  # type: ignore[attr-defined]
        called.__annotations__ = {parameter.name: parameter.annotation for parameter in every}
        return called

    return decorate


def judges(
    judge: Annotated[
        list[str] | None,
        typer.Option(
            metavar="MODEL",
            help="A judge's model; repeat for several judges.",
            show_default="embedded",
            rich_help_panel=JUDGES,
        ),
    ] = None,
    constitution: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME",
            help="A shipped constitution or a .toml; repeat for several.",
            show_default="helpful",
            rich_help_panel=JUDGES,
            autocompletion=names.constitutions,
        ),
    ] = None,
    variant: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME",
            help="How the judge is asked: base, detailed, cot, K-shot, sc-N, single, log-odds, sampled, each, scored, "
            "rubric, implicit, threshold, leave-out, one-call, vote, think-LEVEL, joined by +.",
            show_default="detailed",
            rich_help_panel=JUDGES,
        ),
    ] = None,
    judges: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="A TOML file of [[judges]], or a cascade that an audit saved; replaces the three above.",
            rich_help_panel=JUDGES,
        ),
    ] = None,
    calibration: Annotated[
        list[str] | None,
        typer.Option(metavar="FILE", help="Calibration of a judge; one for each.", rich_help_panel=JUDGES),
    ] = None,
    bias: Annotated[
        list[str] | None,
        typer.Option(
            metavar="FILE",
            help="What an audit measured that a judge prefers in excess of people, taken off; one for each.",
            rich_help_panel=JUDGES,
        ),
    ] = None,
) -> "tuple[JudgeSpec, ...]":
    """The judges that the options name: those in the file, or every combination of models, constitutions and variants.

    Raises: UsageError if both are given.
    """
    from preceptor.judging.specs import every_judge, read_judges

    if judges is None:
        models, constitutions = judge or ["embedded"], constitution or ["helpful"]
        return every_judge(models, constitutions, variant or [], calibration or [], bias or [])
    if judge or constitution or variant or calibration or bias:
        raise UsageError(
            "--judges names all judges; leave out --judge, --constitution, --variant, --calibration and --bias"
        )
    return read_judges(judges)


def connection(
    concurrency: Annotated[
        int | None,
        typer.Option(
            metavar="N",
            help="Concurrent requests to a model server; by default as many as it answers well.",
            rich_help_panel=SERVERS,
        ),
    ] = None,
    requests_per_minute: Annotated[
        float | None,
        typer.Option(metavar="N", help="Maximum requests per minute to a model server.", rich_help_panel=SERVERS),
    ] = None,
    tokens_per_minute: Annotated[
        float | None,
        typer.Option(metavar="N", help="Maximum tokens per minute to a model server.", rich_help_panel=SERVERS),
    ] = None,
    timeout: Annotated[
        float,
        typer.Option(metavar="SECONDS", help="Time limit for one attempt at a call.", rich_help_panel=SERVERS),
    ] = 120.0,
    batch: Annotated[
        bool,
        typer.Option(
            "--batch", help="Use the server's batch endpoint: half price, within a day.", rich_help_panel=SERVERS
        ),
    ] = False,
    prices: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Prices of models; they replace the built-in ones.", rich_help_panel=SERVERS),
    ] = None,
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
        batch=batch,
        prices=prices,
    )


def dollars(parameter: typer.CallbackParam, value: float | None) -> float | None:
    """An option's amount in dollars. (Imports late: the rest of preceptor takes time to load.)

    Raises: UsageError for NaN, infinity and negative amounts.
    """
    from preceptor.core.validation import check_dollars

    return check_dollars(parameter.opts[-1], value)


Budget = Annotated[
    float | None,
    typer.Option(
        metavar="DOLLARS",
        callback=dollars,
        help="Stop before all recorded calls together cost more than this.",
        rich_help_panel=SERVERS,
    ),
]

AsJson = Annotated[
    bool, typer.Option("--json", help="Print the result as JSON on standard output.", rich_help_panel=OUTPUT)
]


class Output:
    """How a command shows its progress and its result.

    Args:
        as_json: print the result as JSON.
        progress: the display for the work; None for the default one.
    """

    def __init__(self, *, as_json: bool, progress: "Progress | None") -> None:
        self.as_json = as_json
        self.progress = progress

    def show(self, result: "BaseModel | Mapping[str, Any]", text: Callable[[], str] | None = None) -> None:
        """Prints a result as JSON or as a table.

        Args:
            text: what to print unless JSON is requested; `str(result)` when None.
        """
        from preceptor.display.terminal import say, say_json

        if not self.as_json:
            say(str(result) if text is None else text())
        elif isinstance(result, Mapping):
            say_json(json.dumps(result, indent=1, ensure_ascii=False))
        else:
            say_json(result.model_dump_json(indent=1))


def output(
    as_json: AsJson = False,
    quiet: Annotated[
        bool, typer.Option("--quiet", "-q", help="Show no progress, only the result.", rich_help_panel=OUTPUT)
    ] = False,
    verbose: Annotated[
        bool,
        typer.Option(
            "--verbose", "-v", help="Show progress as the lines of the log file, with times.", rich_help_panel=OUTPUT
        ),
    ] = False,
) -> Output:
    """How the command shows its progress and its result.

    Raises: UsageError for both at once.
    """
    if quiet and verbose:
        raise UsageError("--quiet and --verbose: give only one of them")
    if not (quiet or verbose):
        return Output(as_json=as_json, progress=None)
    from preceptor.core.progress import Silence
    from preceptor.display.log import log_to_terminal
    from preceptor.display.pulse import PULSE

    if verbose:
        return Output(as_json=as_json, progress=log_to_terminal())
    PULSE.hush()
    return Output(as_json=as_json, progress=Silence())


def tokens_or_off(text: str | None) -> int | str | None:
    """A number of tokens, or another word that its settings check."""
    return int(text) if text is not None and text.isascii() and text.isdigit() else text


def checked(kind: "type[Settings]", **values: Any) -> "Settings":
    """Settings made from options.

    Raises: UsageError for a value out of bounds.
    """
    from pydantic import ValidationError

    from preceptor.core.validation import explain

    try:
        return kind.model_validate(values)
    except ValidationError as error:
        raise UsageError(explain(error, kind)) from error
