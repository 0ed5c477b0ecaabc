"""The merged model of a finished run."""

from pathlib import Path

from preceptor.backends.transformers.loading import FOUR_BITS, load
from preceptor.backends.transformers.model import LocalModel
from preceptor.core.progress import Progress
from preceptor.recipes.base import Recipe
from preceptor.results.run import RunSummary
from preceptor.runs.directory import RunDirectory
from preceptor.runs.publish import linked, publish
from preceptor.training.files import RunFiles
from preceptor.training.policy import Policy, dtype_of


def whole_folder(directory: RunDirectory) -> Path:
    """Where a finished run's kept model is as one whole model, perhaps only once its adapters are merged."""
    has_adapters = directory.recipe.tuning.method == "lora" and directory.recipe.chooses_checkpoint
    return directory.merged if has_adapters else directory.best


def whole_model(directory: RunDirectory, progress: Progress) -> Path:
    """The folder of a finished run's kept model as one whole model; its adapters are merged now, unless they are."""
    folder = whole_folder(directory)
    if folder == directory.best:
        return folder
    summary = directory.finished()
    assert summary is not None  # the caller's
    merge_best(directory, summary, progress)
    return folder


def merge_best(directory: RunDirectory, summary: RunSummary, progress: Progress) -> None:
    """Writes the merged model of a finished run, unless it exists. The summary is not changed."""
    if directory.merged.exists():
        return
    if summary.rounds is not None and summary.best_step > 0:
        best = RunDirectory.open(directory.round_folder(summary.best_step))
        publish(directory, summary, linked(directory.best), linked(whole_model(best, progress)), merge=True)
        return
    if _is_whole(directory.recipe):
        publish(directory, summary, linked(directory.best), linked(directory.best), merge=True)
        return
    progress.stage("merging the chosen checkpoint")
    policy = untrained(directory)
    if summary.rounds is None:
        RunFiles(directory.path).load_checkpoint(policy, summary.best_step)
    publish(directory, summary, policy.save, policy.save_merged, merge=True)


def untrained(directory: RunDirectory) -> Policy:
    """The policy that a run began with, in its own precision."""
    recipe = directory.recipe
    policy = Policy(LocalModel(load(directory.base, dtype_of(recipe.tuning))), recipe.tuning, recipe.seed)
    trained_in = FOUR_BITS if recipe.engine.quantisation == "4bit" else ""
    directory.pin_inputs({"policy": policy.base.identity + trained_in})
    return policy


def _is_whole(recipe: Recipe) -> bool:
    """Whether a run's kept model is a whole model without adapters."""
    return not recipe.chooses_checkpoint or (recipe.rounds is not None and recipe.rounds.reference == "last")
