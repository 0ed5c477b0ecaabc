"""The steps around every method's training: measure before, measure checkpoints, choose one, publish it, report."""

import math
from collections.abc import Callable
from pathlib import Path

from preceptor.core.outlook import MEASURING, SAMPLING, TRAINING, TRAINING_STAGE, Part
from preceptor.evaluation.checkpoints.choose import broken_perplexity, choose_checkpoint
from preceptor.evaluation.checkpoints.snapshot import MeasuredReference, Snapshot
from preceptor.evaluation.policies.result import Evaluation
from preceptor.recipes.base import Recipe
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
from preceptor.training.rl.sampling import Sampler


class Alignment:
    """The steps around training: measures the policy before training and its checkpoints during training, then measures
    and publishes the best checkpoint. A program calls `begin`, trains, and calls `end`, in every process.

    Args:
        judge: the run's judge; given only in the main process, like `grader`.
        grader: its scores are measured in addition to the held-out score; None for no second opinion.
        sampler: samples the episodes of a policy that acts in an environment; None for responses of one turn.
    """

    def __init__(
        self,
        session: Session,
        policy: Policy,
        prompts: Split,
        judge: RunJudge | None,
        grader: Grader | None,
        sampler: Sampler | None = None,
    ) -> None:
        self._session = session
        self._policy = policy
        self._prompts = prompts
        self._judge = judge
        self._grader = grader
        self._meter = Meter(
            policy, grader, session.inputs.references, session.recipe, session.held_out, sampler=sampler
        )
        self._before: Snapshot | None = None
        self._curve: Curve | None = None
        session.pin("policy", policy.base.identity)

    def begin(self, steps: int, tokens_per_step: int = 0) -> None:
        """Measures the policy before training.

        Args:
            steps: the number of training steps.
            tokens_per_step: the largest number of tokens that a step samples; 0 if it samples none.
        """
        session, progress = self._session, self._session.progress
        progress.plan(_plan(session.recipe, steps, tokens_per_step, self._prompts))
        progress.stage("measuring before training")
        self._before = session.snapshot("before", self._final)
        self._curve = Curve(session.directory, self._meter, self._prompts.validation, progress, steps)
        progress.stage(TRAINING_STAGE)

    def look(self, step: int) -> bool:
        """Measures the checkpoint of a step on the validation prompts. For the main process.

        Returns: whether training should continue.
        """
        assert self._curve is not None  # `begin` comes first
        return self._curve.goes_on(step)

    def end(self, steps: int) -> RunSummary:
        """Keeps the best checkpoint, measures it, publishes it and writes the report.

        Args:
            steps: the number of finished steps.

        Returns: the summary, as in `summary.json`, in every process.
        """
        return self._session.processes.on_main(lambda: self._end(steps))

    def _end(self, steps: int) -> RunSummary:
        assert self._curve is not None and self._before is not None  # `begin` comes first
        session, policy, curve = self._session, self._policy, self._curve
        bounds, before = session.recipe.evaluation.bounds, self._before
        choice = choose_checkpoint(
            curve.snapshots, bounds, lambda step: broken_perplexity(before, self._on_references(step), bounds)
        )
        session.files.load_checkpoint(policy, choice.step)
        session.progress.stage(f"measuring the chosen checkpoint, step {choice.step}")
        after = session.directory.snapshot("after", lambda: self._chosen(choice.step, before))
        outcome = Outcome(
            curve=curve.snapshots,
            before=before,
            after=after,
            choice=choice,
            steps=steps,
            stopped_early=curve.stopped,
            judge=self._judge,
            grader=self._grader,
            policy=policy.base.identity,
            prompts=self._prompts,
            chosen_on_validation=True,
        )
        return conclude(session, outcome, policy.save, policy.save_merged)

    def _final(self, references: tuple[MeasuredReference, ...] | None = None) -> Snapshot:
        """The measurement of the current policy on the test prompts."""
        samples = self._session.recipe.evaluation.samples_per_prompt
        return self._meter.measure("final", self._prompts.test, samples, references)

    def _chosen(self, step: int, before: Snapshot) -> Snapshot:
        """The measurement of a step's checkpoint on the test prompts; at step 0 that of the policy before training."""
        return self._final(self._on_references(step).references) if step else before

    def _on_references(self, step: int) -> Snapshot:
        """The measurement of a checkpoint on the reference answers, which show whether it kept its general ability."""
        session, meter = self._session, self._meter

        def measure() -> Snapshot:
            session.progress.stage(f"measuring reference answers at step {step}")
            session.files.load_checkpoint(meter.policy, step)
            return Snapshot(step=step, responses=(), references=meter.on_references())

        return session.directory.snapshot(f"references-{step:06d}", measure)


def _plan(recipe: Recipe, steps: int, tokens_per_step: int, prompts: Split) -> list[Part]:
    """The work ahead when `Alignment.begin` is called."""
    every, limit = recipe.evaluation.checkpoint_every, recipe.heldout_decoding.max_new_tokens
    look = len(prompts.validation) * limit
    whole = len(prompts.test) * limit * recipe.evaluation.samples_per_prompt
    return [
        Part("measuring before training", 1, whole, MEASURING),
        Part(TRAINING_STAGE, steps, tokens_per_step, TRAINING),
        Part("measuring checkpoint", math.ceil(steps / every) + 1, look, SAMPLING, every),
        Part("measuring the chosen checkpoint", 1, whole, MEASURING),
    ]


def conclude(
    session: Session, outcome: Outcome, save: Callable[[Path], None], save_merged: Callable[[Path], None]
) -> RunSummary:
    """Publishes the chosen model, writes the report and last the summary, which ends the run. In the main process only.

    Args:
        save: writes the chosen model into a folder; `save_merged` writes it whole.
    """
    return finish(session, summarise(session, outcome), outcome.before, outcome.after, save, save_merged)


def finish(
    session: Session,
    summary: RunSummary,
    before: Snapshot,
    after: Snapshot,
    save: Callable[[Path], None],
    save_merged: Callable[[Path], None],
) -> RunSummary:
    """Evaluates the model that the summary describes, publishes it, and writes the report and the summary, which ends
    the run. In the main process only.

    Args:
        before, after: the measurements on test prompts.
        save, save_merged: as for `conclude`.
    """
    directory = session.directory
    session.progress.stage("writing the model and the report")
    evaluation = evaluate_run(before, after, summary)
    summary = with_evaluation(summary, evaluation)
    publish(directory, summary, save, save_merged, merge=session.merge)
    write_report(directory, summary, evaluation)
    directory.write_summary(summary)
    return summary


def with_evaluation(summary: RunSummary, evaluation: Evaluation) -> RunSummary:
    """The summary with the headline, the win rate against the policy before training, and what changed where."""
    return summary.model_copy(
        update={
            "headline": headline(summary, evaluation),
            "win_rate": next((rate for rate in evaluation.win_rates if rate.cohort is None), None),
            "win_rate_at_equal_length": next(iter(evaluation.length_control), None),
            "changes": evaluation.changes,
        }
    )
