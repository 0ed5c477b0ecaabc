"""A run as it stands now, read from its directory while it may still be trained."""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from preceptor.core.errors import PreceptorError
from preceptor.core.progress import Facts
from preceptor.evaluation.checkpoints.snapshot import Measures, Snapshot
from preceptor.recipes.base import Recipe
from preceptor.results.run import RunSummary
from preceptor.runs.directory import RunDirectory
from preceptor.studio.folders import Work
from preceptor.studio.remembered import Remembered
from preceptor.training.rl.settings import RLSettings

Status = Literal["running", "interrupted", "failed", "done", "begun"]
QUIET_S = 120.0
"""Seconds without a change after which a run that says it is running may have been killed."""
_REPORTS = ("report.html", "compare.html")
_KEPT = 64
"""Runs whose state is kept in memory."""


@dataclass(frozen=True)
class RunState:
    """A run as it stands now."""

    work: Work
    recipe: Recipe
    status: Status
    """`begun`: it has not written a status yet."""
    error: str | None
    """Why it failed."""
    summary: RunSummary | None
    """None until the run is done."""
    metrics: Sequence[Facts]
    """One row for each training step so far."""
    snapshots: Sequence[Snapshot]
    """What was measured at checkpoints so far, by step."""
    curve: Sequence[Measures]
    """The measures of these snapshots."""
    changed: float
    """When a file of the run last changed, in seconds since 1970."""

    @property
    def planned_steps(self) -> int | None:
        """Training steps that the recipe asks for; None if it does not train by steps of RL, or in rounds."""
        rl = self.recipe.table(RLSettings)
        return None if rl is None or self.recipe.rounds is not None else rl.steps

    @property
    def quiet_for(self) -> float | None:
        """Seconds without a change, if a run that says it is running was silent long enough to doubt it."""
        silent = time.time() - self.changed
        return silent if self.status == "running" and silent > QUIET_S else None


class Runs:
    """Reads runs, and keeps what has not changed since."""

    def __init__(self) -> None:
        self._kept = Remembered(_KEPT)

    def state(self, work: Work) -> RunState:
        """The run as it stands now.

        Raises: PreceptorError if its files are damaged, or of a version that cannot be read.
        """
        marks = _marks(work.path)
        changed = max((time for _, time, _ in marks), default=0) / 1e9
        return self._kept.get(work.path, marks, lambda: _read(work, changed))


def report_of(work: Work) -> Path | None:
    """The report that a command wrote into its folder; None if there is none."""
    return next((work.path / name for name in _REPORTS if (work.path / name).is_file()), None)


def _read(work: Work, changed: float) -> RunState:
    directory = RunDirectory.open(work.path)
    summary = directory.read_summary()
    done = summary if isinstance(summary, RunSummary) else None
    taken = directory.checkpoint_snapshots()
    snapshots = [taken[step] for step in sorted(taken)]
    return RunState(
        work=work,
        recipe=directory.recipe,
        status="begun" if summary is None else summary.status,
        error=None if summary is None or isinstance(summary, RunSummary) else summary.error,
        summary=done,
        metrics=directory.metrics(),
        snapshots=snapshots,
        curve=[snapshot.summary() for snapshot in snapshots] if done is None else done.curve,
        changed=changed,
    )


def _marks(path: Path) -> tuple[tuple[str, int, int], ...]:
    """Name, time and size of the files that a state is read from, and of those of its rounds; they change whenever it
    does.
    """
    try:
        folders = [path, *sorted((path / "rounds").glob("*/"))]
        files = [folder / name for folder in folders for name in ("recipe.toml", "metrics.jsonl", "summary.json")]
        files += [file for folder in folders for file in sorted((folder / "evaluations").glob("*.json"))]
        held = [(file.name, file.stat()) for file in files if file.is_file()]
    except OSError as error:
        raise PreceptorError(f"{path}: cannot be read: {error.strerror or error}") from error
    return tuple((name, stat.st_mtime_ns, stat.st_size) for name, stat in held)
