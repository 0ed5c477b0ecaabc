"""The `preceptor` command: its subcommands, and how errors reach people."""

import sys

import click
import typer

from preceptor.cli import models, recipes, report, run
from preceptor.core.errors import PreceptorError

app = typer.Typer(
    name="preceptor",
    help="Align a language model with AI feedback, and show whether the feedback deserved it.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
app.command("run")(run.run)
app.command("recipes")(recipes.recipes)
app.command("models")(models.models)
app.command("report")(report.report)


def main() -> None:
    """Runs the command line. Exit codes: 0 done, 1 the work failed, 2 usage, 130 interrupted."""
    try:
        code = app(standalone_mode=False)
        sys.exit(code if isinstance(code, int) else 0)
    except PreceptorError as error:
        _fail(str(error), error.exit_code)
    except click.UsageError as error:
        where = f" (see `{error.ctx.command_path} --help`)" if error.ctx else ""
        _fail(f"{error.format_message()}{where}", 2)
    except (KeyboardInterrupt, click.exceptions.Abort):
        _fail("interrupted", 130)


def _fail(message: str, code: int) -> None:
    print(f"preceptor: {message}", file=sys.stderr)
    sys.exit(code)
