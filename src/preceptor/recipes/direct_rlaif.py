"""Direct RLAIF, from prompts to an aligned model and its report (Lee et al. 2023, section 2.2)."""

import time
from typing import Any

from preceptor.backends.resolve import open_model
from preceptor.backends.transformers.loading import load
from preceptor.backends.transformers.model import LocalModel
from preceptor.core.types import Prompt
from preceptor.evaluation.checkpoints import choose_checkpoint, should_stop
from preceptor.evaluation.snapshot import Snapshot
from preceptor.judging.score import ScoreJudge
from preceptor.recipes.inputs import check_split, read_inputs
from preceptor.recipes.measure import Meter
from preceptor.recipes.progress import Progress
from preceptor.recipes.publish import publish
from preceptor.recipes.report import write_report
from preceptor.recipes.run_directory import RunDirectory
from preceptor.recipes.summary import Outcome, content_free_score, summarise
from preceptor.store.ledger import Ledger
from preceptor.training.policy import Policy
from preceptor.training.rl.algorithm import make_algorithm
from preceptor.training.rl.loop import train
from preceptor.training.rl.rewards import JudgeReward
from preceptor.training.rl.state import TrainingFiles
from preceptor.training.rl.update import Updater


def run_direct_rlaif(directory: RunDirectory, progress: Progress, *, merge: bool = False) -> dict[str, Any]:
    """Runs the recipe of a run directory, from wherever an earlier process left it.

    Args:
        merge: also write the chosen model with its adapters merged into the weights.

    Returns: the summary, as in `summary.json`.
    Raises: PreceptorError, among them UsageError for a recipe that cannot be run.
    """
    recipe, begun = directory.recipe, time.perf_counter()
    inputs = read_inputs(recipe)
    files = TrainingFiles(directory.path)
    earlier_seconds = files.seconds()

    progress.stage("loading the models")
    judge_model = open_model(recipe.judge.model)
    policy = Policy(LocalModel(load(recipe.policy)), recipe.lora, recipe.seed)
    updater = Updater(policy, make_algorithm(recipe.rl), recipe.rl)
    identities = {"policy": policy.base.identity, "judge": judge_model.identity}
    directory.pin_inputs(inputs.hashes(recipe) | identities)
    usable = within_window(inputs.prompts, policy, recipe.rl.max_new_tokens)
    if skipped := len(inputs.prompts) - len(usable):
        progress.note(f"{skipped} prompts do not fit the policy's context window and are skipped")
    training_prompts, held_out = check_split(usable, recipe)

    with Ledger(directory.ledger) as ledger:
        judge = ScoreJudge(judge_model, inputs.constitution, ledger, recipe.judge.asking)
        meter = Meter(policy, judge, held_out, inputs.references, recipe)
        progress.stage("measuring before training")
        before = directory.snapshot("before", lambda: meter.measure("final", recipe.evaluation.samples_per_prompt))
        curve = Curve(directory, meter, before, progress)
        progress.stage("training")
        steps = train(
            policy,
            updater,
            JudgeReward(judge, recipe.judge.reward),
            training_prompts,
            recipe.rl,
            files=files,
            seed=recipe.seed,
            checkpoint_every=recipe.evaluation.checkpoint_every,
            at_checkpoint=curve.goes_on,
            on_step=lambda step, facts: progress.step(step, recipe.rl.steps, facts),
        )
        choice = choose_checkpoint(curve.snapshots, recipe.evaluation.bounds)
        progress.stage(f"measuring the chosen checkpoint, step {choice.step}")
        files.load_checkpoint(policy, choice.step)
        after = directory.snapshot("after", lambda: meter.measure("final", recipe.evaluation.samples_per_prompt))
        outcome = Outcome(
            curve=curve.snapshots,
            before=before,
            after=after,
            choice=choice,
            steps=steps,
            stopped_early=curve.stopped,
            constitution=inputs.constitution,
            judge=judge,
            content_free_score=content_free_score(judge, directory),
            ledger=ledger.totals(),
            policy=policy.base.identity,
            prompts=(len(training_prompts), len(held_out), skipped),
            seconds=earlier_seconds + time.perf_counter() - begun,
        )
    summary = summarise(directory, outcome)
    progress.stage("writing the model and the report")
    publish(policy, directory, summary, merge=merge)
    write_report(directory, summary)
    directory.write_summary(summary)
    return summary


class Curve:
    """The measurements of a run's checkpoints, and whether they say that it should go on."""

    def __init__(self, directory: RunDirectory, meter: Meter, before: Snapshot, progress: Progress) -> None:
        self._directory = directory
        self._meter = meter
        self._progress = progress
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
            self._progress.stage("training")
        recipe = self._directory.recipe
        if recipe.evaluation.stop_early and step < recipe.rl.steps:
            self.stopped = should_stop([s for s in self.snapshots if s.step <= step], recipe.evaluation.bounds)
        if self.stopped is not None:
            self._progress.note(f"training ends early: {self.stopped}")
        return self.stopped is None


def merge_best(directory: RunDirectory, summary: dict[str, Any], progress: Progress) -> None:
    """Writes the merged model of a finished run; its summary is left as it is."""
    progress.stage("merging the chosen checkpoint")
    policy = Policy(LocalModel(load(directory.recipe.policy)), directory.recipe.lora, directory.recipe.seed)
    directory.pin_inputs({"policy": policy.base.identity})
    TrainingFiles(directory.path).load_checkpoint(policy, int(summary["best_step"]))
    publish(policy, directory, summary, merge=True)


def within_window(prompts: list[Prompt], policy: Policy, max_new_tokens: int) -> list[Prompt]:
    """The prompts that leave room for an answer in the policy's context window."""
    room = policy.base.context_window - max_new_tokens
    return [prompt for prompt in prompts if len(policy.encode(prompt)) <= room]
