"""Running any recipe in its directory, one run at a time. `summary.json` always says how the run ended."""

from contextlib import ExitStack, closing, suppress
from functools import partial
from typing import Any, Literal

from preceptor.core.errors import PreceptorError
from preceptor.core.progress import Progress, Silence
from preceptor.display.log import logged
from preceptor.display.progress import shown
from preceptor.methods.base import Method, find_method
from preceptor.methods.rounds import run_rounds
from preceptor.recipes.load import recipe_data
from preceptor.results.run import RunStatus, RunSummary
from preceptor.runs.directory import RunDirectory
from preceptor.runs.licence import check_licence
from preceptor.runs.merge import merge_best
from preceptor.runs.session import Session
from preceptor.store.calls import in_words
from preceptor.store.own_folder import working_in
from preceptor.training.processes import Processes


def execute(
    directory: RunDirectory,
    progress: Progress | None = None,
    *,
    merge: bool = False,
    processes: Processes | None = None,
) -> RunSummary:
    """Runs the recipe of a run directory, or resumes it; a finished run is not repeated.

    Every process of an `accelerate launch` calls it. Only the main one judges, measures, writes and shows progress.
    However the run ends, `summary.json` says how: see `RunStatus`.

    Args:
        merge: also write the chosen model with its adapters merged into the weights.

    Raises: PreceptorError, among them UsageError for a recipe that cannot be run.
    """
    processes = processes or Processes()
    with shown(progress if processes.is_main else Silence()) as display:
        return _execute(directory, display, processes, merge=merge)


def _execute(directory: RunDirectory, progress: Progress, processes: Processes, *, merge: bool) -> RunSummary:
    method = find_method(directory.recipe.method)
    with ExitStack() as held:
        processes.on_main(lambda: held.enter_context(working_in(directory.path, "run")))
        processes.on_main(directory.tidy)
        finished = processes.on_main(directory.finished)
        if finished is not None:
            progress.note("this run is already finished")
            if merge:
                processes.on_main(lambda: merge_best(directory, finished, progress))
            return finished
        processes.on_main(directory.check_resumable)
        if processes.is_main:
            account = partial(in_words, directory.path / "ledger.sqlite")
            settings = recipe_data(directory.recipe)
            progress = held.enter_context(logged(directory.path, "run", settings, progress, account))
        return _run(directory, method, progress, processes, merge=merge)


def _run(
    directory: RunDirectory, method: Method[Any], progress: Progress, processes: Processes, *, merge: bool
) -> RunSummary:
    def write(status: Literal["running", "interrupted", "failed"], error: str | None = None) -> None:
        if processes.is_main:
            directory.write_summary(RunStatus(status=status, error=error, recipe=recipe_data(directory.recipe)))

    progress.plan(())  # drops the plan of the run before, if there are several
    write("running")
    try:
        with closing(Session(directory, progress, processes, merge=merge)) as session:
            check_licence(session)
            if directory.recipe.rounds is not None:
                return run_rounds(session, directory.recipe, lambda each: execute(each, progress, processes=processes))
            return method.run(session, directory.recipe)
    except KeyboardInterrupt:
        with suppress(PreceptorError):  # a disk too full for a status must not hide why the run ended
            write("interrupted")
        raise
    except Exception as error:
        with suppress(PreceptorError):
            write("failed", str(error))
        raise
