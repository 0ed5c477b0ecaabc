"""Commands that run in several processes of an `accelerate launch`."""

from collections.abc import Generator
from contextlib import contextmanager

import typer

from preceptor.core.errors import PreceptorError


@contextmanager
def errors_reported_once(is_main: bool) -> Generator[None]:
    """Within the context, an error of the main process ends the other processes silently: the main process reports it.

    Raises: typer.Exit in place of such an error.
    """
    from preceptor.training.processes import OF_MAIN

    try:
        yield
    except PreceptorError as error:
        if is_main or OF_MAIN not in getattr(error, "__notes__", ()):
            raise
        raise typer.Exit(error.exit_code) from error
