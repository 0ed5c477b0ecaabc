"""Measuring a run's checkpoints on its validation prompts, and deciding whether training should continue."""

from collections.abc import Sequence

from preceptor.core.outlook import TRAINING_STAGE
from preceptor.core.progress import Progress
from preceptor.core.types import Prompt
from preceptor.evaluation.checkpoints.choose import should_stop, to_grade
from preceptor.evaluation.checkpoints.snapshot import Snapshot
from preceptor.evaluation.intervals import Estimate
from preceptor.runs.directory import RunDirectory
from preceptor.runs.measure import Meter
from preceptor.training.rl.settings import RLSettings


class Curve:
    """The measured checkpoints of a run. Used in the main process only.

    Args:
        prompts: the validation prompts.
        total_steps: the last step; stopping is not considered after it.
    """

    def __init__(
        self, directory: RunDirectory, meter: Meter, prompts: Sequence[Prompt], progress: Progress, total_steps: int
    ) -> None:
        self._directory = directory
        self._meter = meter
        self._prompts = prompts
        self._progress = progress
        self._total_steps = total_steps
        self._by_step = directory.checkpoint_snapshots()
        self.stopped: str | None = None
        """Why training ended early; None if it did not."""
        for snapshot in self.snapshots:
            progress.measured(snapshot.step, snapshot.facts)

    @property
    def snapshots(self) -> list[Snapshot]:
        """All measurements so far, by step; the first is from before training."""
        return [self._by_step[step] for step in sorted(self._by_step)]

    def goes_on(self, step: int) -> bool:
        """Measures the checkpoint of a step, unless that is done; returns whether training should continue."""
        if step not in self._by_step:
            self._progress.stage(f"measuring checkpoint {step}")
            look = self._directory.snapshot(
                f"step-{step:06d}", lambda: self._meter.look(self._prompts, self._rollout_kl(step))
            )
            self._by_step[step] = look
            self._progress.measured(step, look.facts)
            self._progress.stage(TRAINING_STAGE)
        so_far = [snapshot for snapshot in self.snapshots if snapshot.step <= step]
        bounds = self._directory.recipe.evaluation.bounds
        for suspect in to_grade(so_far, bounds):
            self._grade(suspect)
        so_far = [self._by_step[snapshot.step] for snapshot in so_far]
        if self._directory.recipe.evaluation.stop_early and step < self._total_steps:
            self.stopped = should_stop(so_far, bounds)
        if self.stopped is not None:
            self._progress.note(f"training ends early: {self.stopped}")
        return self.stopped is None

    def _grade(self, step: int) -> None:
        """Has the training judge score the responses of a step, unless it has already."""
        look = self._by_step[step]
        if self._meter.grader is not None and not look.is_graded:
            self._by_step[step] = self._directory.snapshot(
                f"graded-{step:06d}", lambda: self._meter.graded(look, self._prompts)
            )

    def _rollout_kl(self, step: int) -> Estimate | None:
        """The KL of the responses that the step learnt from, which the policy gave one update earlier. None if there
        are none, or if measuring and training use different sampling settings.
        """
        recipe = self._directory.recipe
        rl = recipe.table(RLSettings)
        if step == 0 or rl is None or recipe.heldout_decoding != recipe.decoding:
            return None
        [kl] = [row["kl"] for row in self._directory.metrics() if row["step"] == step]
        assert kl is not None  # every step of RL measures it
        return Estimate(value=kl, low=None, high=None, n=rl.prompts_per_step)
