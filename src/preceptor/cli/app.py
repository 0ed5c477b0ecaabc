"""The `preceptor` command: its subcommands, and how it reports errors."""

import errno
import os
import sys
import traceback
import warnings
from collections.abc import Callable
from contextlib import suppress
from typing import Annotated, Any, Protocol, runtime_checkable

import typer

import preceptor
from preceptor.cli import (
    agreement,
    arms,
    audit,
    cohort,
    compare,
    construct,
    engine,
    estimate,
    evaluate,
    init,
    label,
    models,
    publish,
    recipes,
    report,
    reproduce,
    revise,
    rubrics,
    run,
    serve,
    stopping,
    studio,
    sweep,
    train,
    trajectories,
    tune,
)
from preceptor.cli.arguments import Command, Group, check_arguments
from preceptor.core.errors import PreceptorError
from preceptor.display.pulse import PULSE
from preceptor.display.terminal import complain, say

# Some versions of typer bundle click; in either case click's usage error is the parent of typer's BadParameter.
_CommandLineError: type[Exception] = typer.BadParameter.__bases__[0]
_LONGEST = 1000
"""The maximum length of a message. Longer ones quote something very long; their middle is left out."""
_OF_THE_MACHINE = {
    *(errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.EPERM, errno.EIO),
    *(errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.EFBIG),
}
"""Failures of the machine: a full disk, missing permissions."""
_OF_A_NAME = {errno.ENAMETOOLONG, errno.ELOOP}
"""Failures of a path that the user gave."""
FAULT = 70
"""Exit code for a bug in preceptor itself (EX_SOFTWARE)."""


@runtime_checkable
class _Explained(Protocol):
    """A usage error that names the option it is about."""

    def format_message(self) -> str: ...


class _Interrupted(Exception):  # noqa: N818  not an error
    """Carries an interruption past typer, which would end the process without a message."""

    def __init__(self, stop: KeyboardInterrupt) -> None:
        super().__init__()
        self.stop = stop


class _Commands(Group):
    """All commands."""

    def invoke(self, ctx: Any) -> Any:
        """Runs a command."""
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt as stop:
            raise _Interrupted(stop) from stop


app = typer.Typer(
    name="preceptor",
    cls=_Commands,
    help="Align a language model with AI feedback, and measure whether the feedback can be trusted.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["--help", "-h"]},
)


def _version(asked: bool) -> None:
    if asked:
        say(f"preceptor {preceptor.__version__}")
        raise typer.Exit


@app.callback()
def _preceptor(
    version: Annotated[
        bool, typer.Option("--version", help="Print the version and exit.", callback=_version, is_eager=True)
    ] = False,
) -> None: ...


PANELS: dict[str, tuple[Callable[..., None], ...]] = {
    "Start": (init.init,),
    "Judge": (label.label, audit.audit, tune.tune, agreement.agreement, estimate.estimate),
    "Train": (run.run, arms.arms, revise.revise, construct.construct),
    "Evaluate": (
        evaluate.evaluate,
        sweep.sweep,
        compare.compare,
        trajectories.trajectories,
        reproduce.reproduce,
    ),
    "People": (studio.studio,),
    "Serve": (serve.serve,),
    "Data": (cohort.cohort, publish.publish),
    "Info": (recipes.recipes, models.models, report.report),
}
for _panel, _commands in PANELS.items():
    for _command in _commands:
        app.command(_command.__name__, cls=Command, rich_help_panel=_panel)(_command)
app.add_typer(rubrics.rubrics, name="rubrics", rich_help_panel="Judge")
app.add_typer(train.train, name="train", rich_help_panel="Train")
app.add_typer(engine.engine, name="engine", rich_help_panel="Train")


def main(commands: Callable[..., Any] = app) -> None:
    """Runs the command line. Exit codes: 0 done, 1 the work failed, 2 usage error, 70 a bug in preceptor; 130, 143 and
    129 after Ctrl-C, TERM and HUP.
    """
    try:
        _run(commands)
    except SystemExit as end:
        if "preceptor.training.processes" in sys.modules:  # there may be several processes
            from preceptor.training.processes import leave

            leave(end.code if isinstance(end.code, int) else 0)
        raise


def _run(commands: Callable[..., Any]) -> None:
    """Runs a command, and always ends by raising SystemExit."""
    warnings.simplefilter("ignore", FutureWarning)  # libraries' advice to developers, not to users
    try:
        stopping.listen()
        check_arguments(sys.argv[1:])
        with PULSE.beating():
            code = commands(standalone_mode=False)
        sys.stdout.flush()  # report a full disk here, not at the interpreter's exit
        sys.exit(code if isinstance(code, int) else 0)
    except PreceptorError as error:
        _fail(str(error), error.exit_code)
    except _Interrupted as interrupted:
        _fail(stopping.words(interrupted.stop), stopping.exit_code(interrupted.stop))
    except KeyboardInterrupt as stop:
        _fail(stopping.words(stop), stopping.exit_code(stop))
    except typer.Abort:
        _fail("interrupted", 130)
    except _CommandLineError as error:
        if not str(error):  # no command: the help has been shown
            sys.exit(2)
        said: str = error.format_message() if isinstance(error, _Explained) else str(error)
        _fail(f"{said.rstrip('.?')}; see `{_command_of(error)} --help`", 2)
    except BrokenPipeError:  # the reader of the output has ended, like `head`
        _fail("", 1)
    except OSError as error:
        if error.errno not in _OF_THE_MACHINE | _OF_A_NAME:
            _fault(error)
        where = f"{error.filename}: " if error.filename else ""
        if error.errno in _OF_A_NAME:
            _fail(f"{where}{error.strerror}", 2)
        _fail(f"{where}{error.strerror or error}; fix that and run the same command again", 1)
    except Exception as error:
        _fault(error)


def _command_of(error: Exception) -> str:
    """The command that a usage error is about, for instance `preceptor label`."""
    context = getattr(error, "ctx", None)
    names: list[str] = []
    while context is not None and context.parent is not None:
        names.insert(0, context.info_name)
        context = context.parent
    return " ".join(["preceptor", *names])


def _fault(error: Exception) -> None:
    """Reports a bug in preceptor itself, with everything needed to find it."""
    with suppress(OSError):
        complain("".join(traceback.format_exception(error)).rstrip(), lines=True)
    said = f"{type(error).__name__}: {error}"
    _fail(f"this is a bug in preceptor, not your mistake ({said}); please report the lines above", FAULT)


def _fail(message: str, code: int) -> None:
    with suppress(OSError):  # the terminal may be gone, or the log's disk full
        if message:
            complain(f"preceptor: {_shortened(message)}")
        sys.stderr.flush()
    try:
        sys.stdout.flush()
    except OSError:  # do not retry the write at the interpreter's exit
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    sys.exit(code)


def _shortened(message: str) -> str:
    return message if len(message) <= _LONGEST else f"{message[: _LONGEST // 2]} ... {message[-_LONGEST // 2 :]}"
