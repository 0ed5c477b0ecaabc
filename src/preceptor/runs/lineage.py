"""Where a model comes from: the run that made it, what that run began with, and who judged in it."""

from pathlib import Path

from preceptor.judging.relations import Origin
from preceptor.runs.directory import RunDirectory

_MOST = 8
"""How many runs back a lineage is followed."""


def as_run(source: str) -> RunDirectory | None:
    """The run in this directory; None for any other source."""
    return RunDirectory.open(Path(source)) if (Path(source) / "recipe.toml").is_file() else None


def run_around(source: str) -> RunDirectory | None:
    """The run that a source is or, like a checkpoint, belongs to."""
    path = Path(source)
    folders = (path, *path.parents[:3]) if path.exists() else ()
    return next((run for folder in folders if (run := as_run(str(folder))) is not None), None)


def origin_of(model: str, identity: str | None = None) -> Origin:
    """Where a model comes from, by the runs that it and its bases belong to.

    Args:
        model: a model string, or a run's directory.
        identity: its identity, if it was opened.
    """
    bases, teachers, at = list[str](), list[str](), model
    for _ in range(_MOST):
        run = run_around(at)
        if run is None:
            break
        judge = run.recipe.training_judge
        teachers += [judge.model] if judge is not None else []
        bases.append(at := run.recipe.policy)
    return Origin(model, identity, tuple(bases), tuple(teachers))
