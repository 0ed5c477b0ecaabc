"""Supervised fine-tuning as a part of a run, and the end of methods that consist of fine-tuning."""

from collections.abc import Sequence
from typing import Any

from preceptor.core.errors import UsageError
from preceptor.core.types import JsonObject
from preceptor.evaluation.checkpoints.choose import CheckpointChoice
from preceptor.evaluation.checkpoints.snapshot import Snapshot
from preceptor.recipes.base import Recipe
from preceptor.results.run import FineTuningRecord, RunSummary
from preceptor.runs.ending import conclude
from preceptor.runs.inputs import Split
from preceptor.runs.judge import RunJudge
from preceptor.runs.measure import Grader, Meter
from preceptor.runs.publish import linked
from preceptor.runs.session import Session
from preceptor.runs.summary import Outcome
from preceptor.runs.tracking import tracked
from preceptor.store.demonstrations import Demonstration
from preceptor.store.files import check_folder, read_rows, write_rows
from preceptor.training.policy import Policy
from preceptor.training.sft.settings import SftSettings
from preceptor.training.sft.train import train_sft


def fine_tuned_first(session: Session, tools: Sequence[JsonObject] = ()) -> str:
    """The model that a method starts from, as a model string: the policy, or the policy fine-tuned by [sft].

    Args:
        tools: JSON schemas of the tools that the demonstrations' prompts show.
    """
    table = session.recipe.sft_first
    if table is None:
        return session.recipe.policy
    return fine_tune(session, "sft", session.recipe.policy, session.inputs.demonstrations, table.learning, tools)


def fine_tune(
    session: Session,
    name: str,
    base: str,
    demonstrations: Sequence[Demonstration],
    settings: SftSettings,
    tools: Sequence[JsonObject] = (),
) -> str:
    """Fine-tunes a model in the folder of that name in the run directory.

    Args:
        tools: JSON schemas of the tools that the demonstrations' prompts show.

    Returns: the folder of the whole model, which is a model string.
    Raises: UsageError when there is nothing to learn, CheckpointError when a finished model was altered.
    """
    folder = session.directory.path / name / "model"
    if not demonstrations:
        raise UsageError("fine-tuning has no demonstration to learn")

    def work() -> FineTuningRecord:
        with tracked(session, name) as track:
            train_sft(
                base,
                demonstrations,
                session.recipe.tuning,
                settings,
                folder=folder,
                seed=session.recipe.seed,
                on_log=lambda row: track(int(row["step"]), int(row["steps"]), row),
                on_note=session.progress.note,
                passed_on=_passed_on(session.recipe, name),
                tools=tools,
                thinking=session.recipe.thinking,
            )
        rows: list[dict[str, Any]] = session.processes.on_main(lambda: read_rows(folder / "metrics.jsonl"))
        return FineTuningRecord(
            demonstrations=len(demonstrations),
            updates=len(rows),
            first_loss=rows[0]["loss"] if rows else None,
            last_loss=rows[-1]["loss"] if rows else None,
        )

    words = f"fine-tuning on {len(demonstrations)} demonstrations"
    session.stage(name, words, FineTuningRecord, work, together=True)
    session.processes.on_main(lambda: check_folder(folder))
    return str(folder)


def _passed_on(recipe: Recipe, name: str) -> JsonObject:
    """The recipe's settings of TRL's trainer that are for this fine-tuning: where the method's result is the fine-tuned
    model. TRL's trainer fine-tunes on either engine.
    """
    if recipe.chooses_checkpoint or name == recipe.base_stage:
        return {}
    loss = recipe.engine.loss_type
    return recipe.engine.trl | ({"loss_type": loss} if loss else {})


def measure_before(session: Session, policy: Policy, prompts: Split, grader: Grader | None) -> Snapshot:
    """The measurement of the model before fine-tuning."""
    recipe = session.recipe
    meter = Meter(policy, grader, session.inputs.references, recipe, session.held_out)
    session.progress.stage("measuring before training")
    samples = recipe.evaluation.samples_per_prompt
    return session.snapshot("before", lambda: meter.measure("final", prompts.test, samples))


def end_fine_tuned(
    session: Session,
    name: str,
    base: str,
    before: Snapshot,
    prompts: Split,
    judge: RunJudge | None,
    grader: Grader | None,
) -> RunSummary:
    """Ends a method whose result is a fine-tuned model: measures and publishes it, and writes the report.

    Args:
        name: the folder of the fine-tuning.
        base: the model that was fine-tuned; the KL is measured to it.
    """
    directory, recipe = session.directory, session.recipe
    folder = directory.path / name / "model"

    def end() -> RunSummary:
        rows = read_rows(folder / "metrics.jsonl")
        write_rows(directory.path / "metrics.jsonl", rows)
        session.progress.stage("measuring the fine-tuned model")
        original, tuned = session.open_policy(base), session.open_policy(str(folder))
        tuned.step = len(rows)
        meter = Meter(tuned, grader, session.inputs.references, recipe, session.held_out, base=original)
        samples = recipe.evaluation.samples_per_prompt
        after = directory.snapshot("after", lambda: meter.measure("final", prompts.test, samples))
        session.progress.measured(after.step, after.facts)
        directory.pin_inputs({"policy": original.base.identity})
        outcome = Outcome(
            curve=[before, after],
            before=before,
            after=after,
            choice=CheckpointChoice(step=len(rows), excluded={}),
            steps=len(rows),
            stopped_early=None,
            judge=judge,
            grader=grader,
            policy=original.base.identity,
            prompts=prompts,
            chosen_on_validation=False,
        )
        return conclude(session, outcome, linked(folder), linked(folder))

    return session.processes.on_main(end)
