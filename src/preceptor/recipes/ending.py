"""What every method ends with: measure, train with checkpoints measured, choose one, measure it, publish, report."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from preceptor.evaluation.checkpoints import choose_checkpoint
from preceptor.evaluation.result import Evaluation
from preceptor.recipes.curve import Curve
from preceptor.recipes.measure import Grader, Meter
from preceptor.recipes.methods import Recipe
from preceptor.recipes.outlook import MEASURING, TRAINING, TRAINING_STAGE, Part
from preceptor.recipes.publish import publish
from preceptor.recipes.report import write_report
from preceptor.recipes.run_judge import RunJudge
from preceptor.recipes.session import Session, Split
from preceptor.recipes.summary import Outcome, summarise
from preceptor.training.policy import Policy


@dataclass(frozen=True)
class Training:
    """How a policy is trained in steps."""

    total_steps: int
    run: Callable[[Callable[[int], bool]], int]
    """Trains, and calls what it is given at every checkpoint, which returns False to stop early; gives the number of
    finished steps. Every process runs it."""
    tokens_per_step: int = 0
    """Most tokens that a step samples; 0 where it samples none."""


def align(
    session: Session,
    policy: Policy,
    prompts: Split,
    training: Training,
    judge: RunJudge | None,
    grader: Grader | None,
) -> dict[str, Any]:
    """Trains a policy, keeps its best checkpoint and says what changed.

    Args:
        judge: of the run; on the main process alone, as is `grader`.
        grader: whose opinion is measured beside the held-out score; None for nobody's.

    Returns: the summary, as in `summary.json`, in every process.
    """
    directory, recipe, progress = session.directory, session.recipe, session.progress
    session.pin("policy", policy.base.identity)
    meter = Meter(policy, grader, prompts.held_out, session.inputs.references, recipe, session.held_out)
    final = lambda: meter.measure("final", recipe.evaluation.samples_per_prompt)  # noqa: E731
    progress.plan(_plan(recipe, training, len(prompts.held_out)))
    progress.stage("measuring before training")
    before = session.snapshot("before", final)
    curve = Curve(directory, meter, before, progress, training.total_steps)
    progress.stage(TRAINING_STAGE)
    steps = training.run(curve.goes_on)

    def end() -> dict[str, Any]:
        choice = choose_checkpoint(curve.snapshots, recipe.evaluation.bounds)
        progress.stage(f"measuring the chosen checkpoint, step {choice.step}")
        session.files.load_checkpoint(policy, choice.step)
        after = directory.snapshot("after", final)
        outcome = Outcome(
            curve=curve.snapshots,
            before=before,
            after=after,
            choice=choice,
            steps=steps,
            stopped_early=curve.stopped,
            judge=judge,
            grader=grader,
            policy=policy.base.identity,
            prompts=prompts,
        )
        return conclude(session, outcome, policy.save, policy.save_merged)

    return session.processes.on_main(end)


def _plan(recipe: Recipe, training: Training, prompts: int) -> list[Part]:
    """What `align` does, with `prompts` held-out prompts."""
    every = recipe.evaluation.checkpoint_every
    one = prompts * recipe.answering.max_new_tokens
    whole = one * recipe.evaluation.samples_per_prompt
    return [
        Part("measuring before training", 1, whole, MEASURING),
        Part(TRAINING_STAGE, training.total_steps, training.tokens_per_step, TRAINING),
        Part("measuring checkpoint", math.ceil(training.total_steps / every), one, MEASURING, every),
        Part("measuring the chosen checkpoint", 1, whole, MEASURING),
    ]


def conclude(
    session: Session, outcome: Outcome, save: Callable[[Path], None], save_merged: Callable[[Path], None]
) -> dict[str, Any]:
    """Publishes the chosen model, writes the report and then the summary: the run is done. In the main process.

    Args:
        save: writes the chosen model into a folder; `save_merged` writes it whole.
    """
    directory = session.directory
    summary = summarise(session, outcome)
    session.progress.stage("writing the model and the report")
    publish(directory, summary, save, save_merged, merge=session.merge)
    summary |= _preferred(write_report(directory, summary))
    directory.write_summary(summary)
    return summary


def _preferred(evaluation: Evaluation) -> dict[str, Any]:
    """The headline numbers of an evaluation: how often the result is preferred to what it was, and the verdicts."""
    overall = next((each for each in evaluation.win_rates if each.cohort is None), None)
    control = next(iter(evaluation.length_control), None)
    return {
        "win_rate": overall and overall.model_dump(mode="json"),
        "win_rate_at_equal_length": control and control.model_dump(mode="json"),
        "changes": [change.model_dump(mode="json") for change in evaluation.changes],
    }
