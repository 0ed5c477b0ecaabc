"""The `preceptor` command: its subcommands, and how errors reach people."""

import sys
import warnings

import typer

from preceptor.cli import (
    agreement,
    arms,
    audit,
    cohort,
    compare,
    estimate,
    evaluate,
    label,
    models,
    recipes,
    report,
    revise,
    run,
    sweep,
    train,
    trajectories,
)
from preceptor.cli.pulse import PULSE
from preceptor.cli.terminal import complain
from preceptor.core.errors import PreceptorError

# Some versions of typer carry a click of their own; either way its usage errors are the parent of typer's BadParameter.
_CommandLineError: type[Exception] = typer.BadParameter.__bases__[0]

app = typer.Typer(
    name="preceptor",
    help="Align a language model with AI feedback, and show whether the feedback deserved it.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
app.command("run")(run.run)
app.command("arms")(arms.arms)
app.command("audit")(audit.audit)
app.command("label")(label.label)
app.command("evaluate")(evaluate.evaluate)
app.command("sweep")(sweep.sweep)
app.command("compare")(compare.compare)
app.command("estimate")(estimate.estimate)
app.command("agreement")(agreement.agreement)
app.command("trajectories")(trajectories.trajectories)
app.command("cohort")(cohort.cohort)
app.command("revise")(revise.revise)
app.add_typer(train.train, name="train")
app.command("recipes")(recipes.recipes)
app.command("models")(models.models)
app.command("report")(report.report)


def main() -> None:
    """Runs the command line. Exit codes: 0 done, 1 the work failed, 2 usage, 130 interrupted."""
    warnings.simplefilter("ignore", FutureWarning)  # libraries' advice to each other, not to the person here
    try:
        with PULSE.beating():
            code = app(standalone_mode=False)
        sys.exit(code if isinstance(code, int) else 0)
    except PreceptorError as error:
        _fail(str(error), error.exit_code)
    except (KeyboardInterrupt, typer.Abort):
        _fail("interrupted", 130)
    except _CommandLineError as error:
        if not str(error):  # no command at all: the help has been shown
            sys.exit(2)
        _fail(f"{error}; see `preceptor --help`", 2)


def _fail(message: str, code: int) -> None:
    complain(f"preceptor: {message}")
    sys.exit(code)
