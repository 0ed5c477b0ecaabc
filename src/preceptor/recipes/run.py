"""Running any recipe in its directory: one process at a time, and a summary that always tells how it ended."""

from contextlib import suppress
from typing import Any

from preceptor.core.errors import PreceptorError
from preceptor.recipes.direct_rlaif import merge_best, run_direct_rlaif
from preceptor.recipes.progress import Progress
from preceptor.recipes.run_directory import RunDirectory
from preceptor.store.lock import exclusive


def execute(directory: RunDirectory, progress: Progress, *, merge: bool = False) -> dict[str, Any]:
    """Runs what the run directory's recipe says, or goes on with it; a finished run is not repeated.

    Args:
        merge: also write the chosen model with its adapters merged into the weights.

    Returns: the summary. Its `status` is `running`, `done`, `interrupted` (Ctrl-C) or `failed`; after `kill -9` it
    stays `running`.
    """
    with exclusive(directory.path):
        directory.tidy()
        finished = directory.read_summary()
        if finished.get("status") == "done":
            progress.note("this run is finished already")
            if merge and not directory.merged.exists():
                merge_best(directory, finished, progress)
            return finished
        return _run(directory, progress, merge=merge)


def _run(directory: RunDirectory, progress: Progress, *, merge: bool) -> dict[str, Any]:
    begun = {"recipe": directory.recipe.model_dump(mode="json")}
    directory.write_summary({"status": "running", **begun})
    try:
        return run_direct_rlaif(directory, progress, merge=merge)
    except KeyboardInterrupt:
        with suppress(PreceptorError):  # a disk too full for a status must not hide why the run ended
            directory.write_summary({"status": "interrupted", **begun})
        progress.note(f"stopped; go on with `preceptor run --resume {directory.path}`")
        raise
    except Exception as error:
        with suppress(PreceptorError):
            directory.write_summary({"status": "failed", "error": str(error), **begun})
        raise
