"""Which checkpoint of a run is its result: of the four with the highest rewards, the one that an off-the-shelf judge
likes best, as in the paper's appendix G.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import fmean
from typing import Any

from preceptor.runs.directory import RunDirectory

CANDIDATES = 4
"""Checkpoints with high rewards that the judge is asked about."""


def chosen_checkpoint(run: RunDirectory) -> Path:
    """The folder of the checkpoint: never that of the policy before training.

    The reward of a checkpoint is the mean reward of the training steps since the one before; the judge's score is the
    held-out score on the run's validation prompts.
    """
    rewards: list[Any] = run.metrics()
    scores = {
        step: None if (found := snapshot.heldout_score.overall) is None else found.value
        for step, snapshot in run.checkpoint_snapshots().items()
    }
    step = chosen_step({int(row["step"]): float(row["reward"]) for row in rewards}, scores)
    return run.path / "checkpoints" / f"step-{step:06d}"


def chosen_step(rewards: Mapping[int, float], scores: Mapping[int, float | None]) -> int:
    """The step of the chosen checkpoint; of equally good ones, the one with the higher reward, then the later.

    Args:
        rewards: mean reward by training step, from 1.
        scores: the judge's score by the step of each checkpoint, from 0; None where it has none.

    Raises: ValueError when there is no checkpoint after step 0.
    """
    steps = sorted(step for step in scores if step > 0)
    if not steps:
        raise ValueError("a run without a checkpoint after its first step has no result to choose")
    reward = {step: _reward(rewards, before, step) for before, step in zip([0, *steps], steps, strict=False)}
    candidates = sorted(steps, key=lambda step: (reward[step], step))[-CANDIDATES:]
    return max(candidates, key=lambda step: (_known(scores[step]), reward[step], step))


def _reward(rewards: Mapping[int, float], before: int, step: int) -> float:
    since: Sequence[float] = [rewards[i] for i in range(before + 1, step + 1) if i in rewards]
    return fmean(since) if since else float("-inf")


def _known(score: float | None) -> float:
    return float("-inf") if score is None else score
