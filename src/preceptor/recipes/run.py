"""Running any recipe in its directory: one process at a time, and a summary that always tells how it ended."""

from typing import Any

from preceptor.recipes.direct_rlaif import run_direct_rlaif
from preceptor.recipes.progress import Progress
from preceptor.recipes.run_directory import RunDirectory
from preceptor.store.lock import exclusive


def execute(directory: RunDirectory, progress: Progress, *, merge: bool = False) -> dict[str, Any]:
    """Runs what the run directory's recipe says, or goes on with it; a finished run is not repeated.

    Returns: the summary. Its `status` is `running`, `done`, `interrupted` (Ctrl-C) or `failed`; after `kill -9` it
    stays `running`.
    """
    with exclusive(directory.path):
        finished = directory.read_summary()
        if finished.get("status") == "done" and (directory.merged.exists() or not merge):
            progress.note("this run is finished already")
            return finished
        begun = {"recipe": directory.recipe.model_dump(mode="json")}
        directory.write_summary({"status": "running", **begun})
        try:
            return run_direct_rlaif(directory, progress, merge=merge)
        except KeyboardInterrupt:
            directory.write_summary({"status": "interrupted", **begun})
            progress.note(f"stopped; go on with `preceptor run --resume {directory.path}`")
            raise
        except Exception as error:
            directory.write_summary({"status": "failed", "error": str(error), **begun})
            raise
