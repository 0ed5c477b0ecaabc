"""The measurements of a run's checkpoints, and whether they say that it should go on."""

from preceptor.evaluation.checkpoints import should_stop
from preceptor.evaluation.snapshot import Snapshot
from preceptor.recipes.measure import Meter
from preceptor.recipes.outlook import TRAINING_STAGE
from preceptor.recipes.progress import Progress
from preceptor.recipes.run_directory import RunDirectory


class Curve:
    """The measurements of a run's checkpoints. The main process alone measures.

    Args:
        before: what was measured before training.
        total_steps: after which there is nothing to stop.
    """

    def __init__(
        self, directory: RunDirectory, meter: Meter, before: Snapshot, progress: Progress, total_steps: int
    ) -> None:
        self._directory = directory
        self._meter = meter
        self._progress = progress
        self._total_steps = total_steps
        self._by_step = {0: before.first_samples(), **directory.checkpoint_snapshots()}
        self.stopped: str | None = None
        """Why training ended early; None when it did not."""
        for snapshot in self.snapshots:
            progress.measured(snapshot)

    @property
    def snapshots(self) -> list[Snapshot]:
        """All so far in the order of steps, the first one before training."""
        return [self._by_step[step] for step in sorted(self._by_step)]

    def goes_on(self, step: int) -> bool:
        """Measures the checkpoint of a step, unless that is done, and tells whether training should go on."""
        if step not in self._by_step:
            self._progress.stage(f"measuring checkpoint {step}")
            measured = self._directory.snapshot(f"step-{step:06d}", lambda: self._meter.measure("checkpoint", 1))
            self._by_step[step] = measured
            self._progress.measured(measured)
            self._progress.stage(TRAINING_STAGE)
        settings = self._directory.recipe.evaluation
        if settings.stop_early and step < self._total_steps:
            self.stopped = should_stop([s for s in self.snapshots if s.step <= step], settings.bounds)
        if self.stopped is not None:
            self._progress.note(f"training ends early: {self.stopped}")
        return self.stopped is None
