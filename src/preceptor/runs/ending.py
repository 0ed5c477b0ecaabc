"""What every method ends with: measure, train with checkpoints measured, choose one, measure it, publish, report."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from preceptor.core.outlook import MEASURING, SAMPLING, TRAINING, TRAINING_STAGE, Part
from preceptor.evaluation.checkpoints.choose import broken_perplexity, choose_checkpoint
from preceptor.evaluation.checkpoints.snapshot import MeasuredReference, Snapshot
from preceptor.evaluation.policies.result import Evaluation
from preceptor.recipes.methods import Recipe
from preceptor.reports.run.page import headline
from preceptor.results.run import RunSummary
from preceptor.runs.curve import Curve
from preceptor.runs.evaluation import evaluate_run
from preceptor.runs.inputs import Split
from preceptor.runs.judge import RunJudge
from preceptor.runs.measure import Grader, Meter
from preceptor.runs.publish import publish
from preceptor.runs.report import write_report
from preceptor.runs.session import Session
from preceptor.runs.summary import Outcome, summarise
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
) -> RunSummary:
    """Trains a policy, keeps its best checkpoint and says what changed.

    Args:
        judge: of the run; on the main process alone, as is `grader`.
        grader: its opinion is measured in addition to the held-out score; None for no second opinion.

    Returns: the summary, in every process.
    """
    recipe, progress = session.recipe, session.progress
    session.pin("policy", policy.base.identity)
    meter = Meter(policy, grader, session.inputs.references, recipe, session.held_out)

    def final(references: tuple[MeasuredReference, ...] | None = None) -> Snapshot:
        return meter.measure("final", prompts.test, recipe.evaluation.samples_per_prompt, references)

    progress.plan(_plan(recipe, training, prompts))
    progress.stage("measuring before training")
    before = session.snapshot("before", final)
    curve = Curve(session.directory, meter, prompts.validation, progress, training.total_steps)
    progress.stage(TRAINING_STAGE)
    steps = training.run(curve.goes_on)

    def end() -> RunSummary:
        bounds = recipe.evaluation.bounds
        guard = lambda step: broken_perplexity(before, _on_references(session, meter, step), bounds)  # noqa: E731
        choice = choose_checkpoint(curve.snapshots, bounds, guard)
        session.files.load_checkpoint(policy, choice.step)
        progress.stage(f"measuring the chosen checkpoint, step {choice.step}")
        chosen = (lambda: final(_on_references(session, meter, choice.step).references)) if choice.step else None
        after = session.directory.snapshot("after", chosen or (lambda: before))  # the same, where nothing was learnt
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
            chosen_on_validation=True,
        )
        return conclude(session, outcome, policy.save, policy.save_merged)

    return session.processes.on_main(end)


def _plan(recipe: Recipe, training: Training, prompts: Split) -> list[Part]:
    """What `align` does."""
    every, limit = recipe.evaluation.checkpoint_every, recipe.answering.max_new_tokens
    look = len(prompts.validation) * limit
    whole = len(prompts.test) * limit * recipe.evaluation.samples_per_prompt
    return [
        Part("measuring before training", 1, whole, MEASURING),
        Part(TRAINING_STAGE, training.total_steps, training.tokens_per_step, TRAINING),
        Part("measuring checkpoint", math.ceil(training.total_steps / every) + 1, look, SAMPLING, every),
        Part("measuring the chosen checkpoint", 1, whole, MEASURING),
    ]


def _on_references(session: Session, meter: Meter, step: int) -> Snapshot:
    """A checkpoint on the reference answers alone: whether one that the looks would keep kept its general ability."""

    def measure() -> Snapshot:
        session.progress.stage(f"measuring reference answers at step {step}")
        session.files.load_checkpoint(meter.policy, step)
        return Snapshot(step=step, responses=(), references=meter.on_references())

    return session.directory.snapshot(f"references-{step:06d}", measure)


def conclude(
    session: Session, outcome: Outcome, save: Callable[[Path], None], save_merged: Callable[[Path], None]
) -> RunSummary:
    """Publishes the chosen model, writes the report and then the summary: the run is done. In the main process.

    Args:
        save: writes the chosen model into a folder; `save_merged` writes it whole.
    """
    directory = session.directory
    summary = summarise(session, outcome)
    session.progress.stage("writing the model and the report")
    evaluation = evaluate_run(outcome.before, outcome.after, summary)
    summary = with_evaluation(summary, evaluation)
    publish(directory, summary, save, save_merged, merge=session.merge)
    write_report(directory, summary, evaluation)
    directory.write_summary(summary)
    return summary


def with_evaluation(summary: RunSummary, evaluation: Evaluation) -> RunSummary:
    """The summary with the headline, how often the result is preferred to what it was, and what changed where."""
    return summary.model_copy(
        update={
            "headline": headline(summary, evaluation),
            "win_rate": next((rate for rate in evaluation.win_rates if rate.cohort is None), None),
            "win_rate_at_equal_length": next(iter(evaluation.length_control), None),
            "changes": evaluation.changes,
        }
    )
