"""Training a task's policies: SFT once, labels once, then every way as an arm. A killed process resumes each."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from preceptor.core.hashing import content_hash
from preceptor.core.progress import Progress
from preceptor.judging.specs import JudgeSpec
from preceptor.methods.arms import Arm, ArmsRecipe, arms
from preceptor.methods.paper.numbers import Task
from preceptor.methods.paper.policies.choice import chosen_checkpoint
from preceptor.methods.paper.policies.prompts import LEARNT, RUNS, divided, prompt_row, task_folder
from preceptor.methods.paper.policies.ways import (
    MIXED,
    SFT,
    arm_of,
    common_settings,
    labelled_by,
    recipe_of,
    recipe_of_sft,
    ways_of,
)
from preceptor.methods.paper.table import Work
from preceptor.methods.run import resume, run
from preceptor.recipes.base import Recipe
from preceptor.runs.directory import RunDirectory
from preceptor.store.files import read_json, write_json, write_rows
from preceptor.store.prompts import read_prompts, split_held_out
from preceptor.tasks.candidates import Sampling
from preceptor.tasks.label import label

_TRAINED = "trained.json"


@dataclass(frozen=True)
class Trained:
    """The policies of a task."""

    policies: dict[str, str]
    """Model strings by name, the fine-tuned policy first; of a run, the checkpoint that was chosen."""
    runs: dict[str, RunDirectory]
    """The run of each way of training."""
    unlabelled: dict[str, str]
    """The ways that could not be trained since their judge gave no label, with this judge."""


def trained(work: Work, task: Task) -> Trained:
    """The policies of a task, trained now unless an earlier process did it.

    Raises: UsageError when the data are too few; PreceptorError when a model cannot be asked or training diverges.
    """
    setup, folder = work.setup, task_folder(work, task)
    if (folder / _TRAINED).exists():
        return _kept(folder)
    data, policy = divided(work, task), fine_tuned(work, task)
    people = _people(work, task)
    judges = {way: labelled_by(setup, task, way) for way in ways_of(setup, task)}
    labels = {
        way: _labels(work, task, policy, judge, sampled=people is None or way == MIXED)
        for way, judge in judges.items()
        if judge is not None
    }
    unlabelled = {
        way: judge.model for way, judge in judges.items() if judge is not None and not labels[way].stat().st_size
    }
    ways = [way for way in judges if way not in unlabelled]
    work.progress.note(f"{task}: training {', '.join(ways)}")
    scale = setup.scale.policies
    prompts, _ = split_held_out(read_prompts(str(data / RUNS)), scale.evaluation.heldout_share)
    common = common_settings(setup, task, policy, data, scale.rl_for(len(prompts)))
    runs = _run(work, task, common, [arm_of(setup, task, way, people, labels.get(way)) for way in ways])
    chosen = {way: str(chosen_checkpoint(RunDirectory.open(Path(run)))) for way, run in runs.items()}
    write_json(folder / _TRAINED, {"policies": {SFT: policy, **chosen}, "runs": runs, "unlabelled": unlabelled})
    return _kept(folder)


def _run(work: Work, task: Task, common: dict[str, Any], listed: list[Arm]) -> dict[str, str]:
    """The run of each arm, by its name. One arm alone is a run by itself."""
    folder, seed = task_folder(work, task) / "arms", work.setup.seed
    if len(listed) > 1:
        recipe = ArmsRecipe(description=f"The paper's policies: {task}", seed=seed, common=common, arms=tuple(listed))
        result = arms(recipe, out=folder, progress=work.progress)
        return {arm.name: str(folder / arm.folder) for arm in result.arms}
    return {arm.name: _one_run(folder / arm.folder, recipe_of(common, arm, seed), work.progress) for arm in listed}


def _one_run(folder: Path, recipe: Recipe, progress: Progress) -> str:
    """The folder of a run, made now or resumed."""
    if (folder / "recipe.toml").is_file():
        resume(folder, progress=progress)
    else:
        run(recipe, out=folder, progress=progress)
    return str(folder)


def _kept(folder: Path) -> Trained:
    kept: Any = read_json(folder / _TRAINED)
    runs = {way: RunDirectory.open(Path(run)) for way, run in kept["runs"].items()}
    return Trained(kept["policies"], runs, kept["unlabelled"])


def fine_tuned(work: Work, task: Task) -> str:
    """The policy from which all ways start, as a model string: fine-tuned on the task's demonstrations, or, as in the
    paper's dialogues, the policy itself where there are none.

    Raises: UsageError when the data are too few; PreceptorError when training diverges.
    """
    setup, data = work.setup, divided(work, task)
    if not (data / LEARNT).exists():
        return setup.policy
    folder = task_folder(work, task) / "sft"
    work.progress.note(f"{task}: SFT")
    _one_run(folder, recipe_of_sft(setup, data), work.progress)
    return str(folder / "sft" / "model")


def _people(work: Work, task: Task) -> Path | None:
    """People's comparisons to learn from; None if there are none."""
    known = work.setup.data.file(task, "preferences") is not None
    return work.people(task) / "training.jsonl" if known else None


def _labels(work: Work, task: Task, policy: str, judge: JudgeSpec, *, sampled: bool) -> Path:
    """A file with a judge's labels: of the comparisons that people labelled, or of pairs that the policy sampled."""
    if not sampled:
        return work.labels_file(task, judge)
    folder = task_folder(work, task) / f"labels-{_short(judge)}"
    work.progress.note(f"{task}: labels of sampled pairs by {judge.model}")
    label(
        _training_prompts(work, task),
        judges=judge,
        out=folder,
        sampling=Sampling(
            policy=policy,
            temperature=1.0,
            max_new_tokens=work.setup.scale.policies.rl.max_new_tokens,
            seed=work.setup.seed,
        ),
        connection=work.setup.connection,
        progress=work.progress,
    )
    return folder / "preferences.jsonl"


def _training_prompts(work: Work, task: Task) -> Path:
    """A file of the prompts that runs train on."""
    folder = divided(work, task)
    path, share = folder / "training.jsonl", work.setup.scale.policies.evaluation.heldout_share
    if not path.exists():
        training, _ = split_held_out(read_prompts(str(folder / RUNS)), share)
        write_rows(path, [prompt_row(prompt) for prompt in training])
    return path


def _short(judge: JudgeSpec) -> str:
    """A name for files: the judge's model and way of asking, by their hash."""
    return content_hash(judge.model_dump(mode="json"))[:8]
