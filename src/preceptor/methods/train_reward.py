"""Training a reward model by itself: from labelled pairs to a model and its measured accuracy."""

import time
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from os import PathLike
from pathlib import Path
from typing import cast

from preceptor.core.environment import environment
from preceptor.core.errors import UsageError
from preceptor.core.extras import require_training
from preceptor.core.outlook import TRAINING_STAGE
from preceptor.core.progress import Progress, Silence
from preceptor.core.validation import settings_of
from preceptor.display.progress import shown
from preceptor.evaluation.judges.reward_accuracy import Source
from preceptor.methods.parts.reward_models import (
    accuracy_of,
    beginning_seed,
    length_facts,
    train_on,
    without_length_if_asked,
)
from preceptor.results.reward_model import RewardModelResult
from preceptor.store.files import check_folder, write_folder
from preceptor.store.in_memory import name_of
from preceptor.store.output import Output, output_folder
from preceptor.store.own_folder import check_own, working_in
from preceptor.store.rows import Malformed
from preceptor.store.tabular import Rows, rows_as_file
from preceptor.store.training_pairs import TrainingPair, combine, read_training_pairs, split
from preceptor.training.processes import Processes
from preceptor.training.reward_model.ensemble import member_seed
from preceptor.training.reward_model.model import RewardModel
from preceptor.training.reward_model.settings import RewardModelSettings
from preceptor.training.reward_model.soup import soup
from preceptor.training.reward_model.train import RewardTraining
from preceptor.training.trl.checks import check_engine
from preceptor.training.trl.row_checks import check_reward_model
from preceptor.training.trl.settings import EngineSettings
from preceptor.training.tuning import TuningSettings


@dataclass(frozen=True)
class RewardJob:
    """The model and the data of a training."""

    data: tuple[Path, ...]
    """Datasets of labelled pairs; a human label replaces AI labels of the same comparison."""
    output: Output
    model: str
    """Model string of the language model that it starts from."""
    settings: RewardModelSettings
    tuning: TuningSettings
    test: Path | None
    """Labelled pairs to measure it on; a share of `data` when None."""
    seed: int
    engine: EngineSettings

    @property
    def out(self) -> Path:
        """The folder that is written."""
        return self.output.path


def train_reward(
    data: "Rows | Sequence[str | PathLike[str]]",
    *,
    model: str | Path = "embedded",
    out: str | Path | None = None,
    test: "Rows | None" = None,
    reward_model: RewardModelSettings | Mapping[str, object] | None = None,
    tuning: TuningSettings | Mapping[str, object] | None = None,
    engine: EngineSettings | Mapping[str, object] | None = None,
    seed: int = 0,
    progress: Progress | None = None,
) -> RewardModelResult:
    """Trains a reward model on labelled pairs, resuming where an earlier process stopped, and measures it on unseen
    pairs. Every process of an `accelerate launch` calls it.

    Examples:
        >>> train_reward("labels/preferences.jsonl", reward_model={"epochs": 2})  # doctest: +SKIP

    Args:
        data: what `label` wrote, people's comparisons or TRL's preference rows: a path or several, dicts, a DataFrame
            or a `datasets.Dataset`. A human label replaces AI labels of the same comparison.
        model: model string of the language model that it starts from.
        out: the folder of the model; give it again to resume. By default a temporary folder, which is deleted with the
            result.
        test: labelled pairs to measure it on; a share of `data`, by prompt, when None.
        reward_model: settings of its training.
        tuning: which weights are trained.
        engine: which training loop takes the steps.
        progress: shows what happens; a bar or lines on standard error when None.

    Raises: UsageError on faulty input or a folder that holds other work; PreceptorError when training diverges.
    """
    require_training()
    settings = settings_of("reward_model", RewardModelSettings, reward_model) or RewardModelSettings()
    if settings.members > 1 and settings.combine == "ensemble":
        raise UsageError(
            "reward_model.members: this trains one reward model, or a soup of several (reward_model.combine = "
            '"soup"); `preceptor run rlaif` trains an ensemble'
        )
    tuned = settings_of("tuning", TuningSettings, tuning) or TuningSettings()
    trained_on = settings_of("engine", EngineSettings, engine) or EngineSettings()
    check_engine(trained_on, tuned)
    if trained_on.is_trl:
        check_reward_model(trained_on)
    processes = Processes()
    output = processes.on_main(lambda: output_folder(out))
    files = processes.on_main(lambda: _files(output.path, data, test))
    job = RewardJob(files[0], output, str(model), settings, tuned, files[1], seed, trained_on)
    with shown(progress if processes.is_main else Silence()) as display:
        return _train(job, processes, display).within(output)


def _files(
    folder: Path, data: "Rows | Sequence[str | PathLike[str]]", test: "Rows | None"
) -> tuple[tuple[Path, ...], Path | None]:
    """The files of the pairs; rows in memory are written to the folder."""
    check_own(folder, "reward model")
    if isinstance(data, list | tuple) and data and all(isinstance(item, str | PathLike) for item in data):
        paths = tuple(Path(item) for item in cast("Sequence[str | PathLike[str]]", data))
    else:
        paths = (_file(folder, cast("Rows", data), "data.jsonl", "the rows given"),)
    return paths, None if test is None else _file(folder, test, "test.jsonl", "the rows given as test")


def _file(folder: Path, rows: Rows, name: str, given: str) -> Path:
    if isinstance(rows, str | PathLike):
        return Path(rows)
    with working_in(folder, "reward model"):
        return rows_as_file(rows, folder, name=name, given=given)


def _train(job: RewardJob, processes: Processes, progress: Progress) -> RewardModelResult:
    begun = time.perf_counter()
    processes.on_main(lambda: check_own(job.out, "reward model"))
    pairs, left_out = _read(job.data)
    training, held_out = (pairs, _read((job.test,))[0]) if job.test else split(pairs, job.settings.held_out_share)
    if job.test:
        training = _without(training, held_out)
    progress.note(
        f"{len(training)} pairs to train on, {len(held_out)} held out; {sum(left_out.values())} rows left out"
    )
    with ExitStack() as held:
        processes.on_main(lambda: held.enter_context(working_in(job.out, "reward model")))
        if job.settings.combine == "soup":
            model, trained = _trained_soup(job, training, processes, progress)
        else:
            model, trained = _trained(job, training, processes, progress, job.out, job.seed, job.seed)
        correlation = processes.on_main(lambda: without_length_if_asked(model, job.settings, training))
        progress.stage(f"measuring on {len(held_out)} held-out pairs")
        sources: Counter[Source] = Counter(pair.source for pair in training)
        unused = {**left_out, **trained.left_out}
        accuracy = processes.on_main(lambda: accuracy_of(model, held_out) if held_out else None)
        result = RewardModelResult(
            model=model.identity,
            labels=job.settings.labels,
            seed=job.seed,
            training_pairs=trained.pairs,
            held_out_pairs=len(held_out),
            by_source=dict(sources),
            left_out=unused,
            accuracy=accuracy,
            in_words="not measured" if accuracy is None else accuracy.summary(),
            length_correlation=correlation,
            seconds=round(time.perf_counter() - begun, 1),
            settings=job.settings,
            tuning=job.tuning,
            engine=job.engine,
            environment=environment(),
        )
        return processes.on_main(lambda: _written(job, model, result))


def _trained(
    job: RewardJob,
    training: Sequence[TrainingPair],
    processes: Processes,
    progress: Progress,
    root: Path,
    begun: int,
    seed: int,
) -> tuple[RewardModel, RewardTraining]:
    """A trained model.

    Args:
        root: the folder of its state.
        begun: the seed of its head and adapters.
        seed: the seed of the order of pairs.
    """
    progress.stage("loading the model")
    model = RewardModel.from_language_model(job.model, job.tuning, begun, max_length=job.settings.max_length)
    progress.stage(TRAINING_STAGE)
    trained = train_on(
        job.engine,
        model,
        training,
        job.settings,
        job.tuning,
        job.engine.trl,
        root=root,
        seed=seed,
        processes=processes,
        on_step=lambda step, total, facts: progress.step(step, total, asdict(facts)),
    )
    return model, trained


def _trained_soup(
    job: RewardJob, training: Sequence[TrainingPair], processes: Processes, progress: Progress
) -> tuple[RewardModel, RewardTraining]:
    """The mean of several trained models, which are kept in `members/`."""
    trained: list[RewardTraining] = []
    folders = [job.out / "members" / str(member) for member in range(job.settings.members)]
    for member, folder in enumerate(folders):
        begun, seed = beginning_seed(job.settings, job.seed, member), member_seed(job.seed, member)
        model, of_member = _trained(job, training, processes, progress, folder, begun, seed)
        trained.append(of_member)
        if processes.on_main(lambda folder=folder: not (folder / "model").exists()):
            processes.on_main(lambda folder=folder, model=model: write_folder(folder / "model", model.save))
    return soup([folder / "model" for folder in folders]), trained[0]


def _written(job: RewardJob, model: RewardModel, result: RewardModelResult) -> RewardModelResult:
    """Writes the model and the summary. In the main process only."""
    folder = job.out / "model"
    if folder.exists():
        check_folder(folder)
    else:
        facts = {
            "training pairs": result.training_pairs,
            "labels": result.labels,
            "on held-out pairs": result.in_words,
            **length_facts(result.length_correlation),
        }
        write_folder(folder, lambda partial: model.save(partial, facts))
    return result.save(job.output)


def _read(paths: Sequence[Path]) -> tuple[list[TrainingPair], dict[str, int]]:
    sets: list[list[TrainingPair]] = []
    left_out: list[Malformed] = []
    for path in paths:
        pairs, rows = read_training_pairs(path)
        sets.append(pairs)
        left_out += rows
    pairs = combine(sets)
    if not pairs and left_out:
        first = left_out[0]
        raise UsageError(f"no labelled pair to learn from: {first.place}: {first.reason} ({len(left_out)} such rows)")
    if not pairs:
        raise UsageError(f"{', '.join(map(name_of, paths))}: no labelled pair to learn from: there are no rows")
    return pairs, dict(Counter(row.reason for row in left_out))


def _without(pairs: Sequence[TrainingPair], held_out: Sequence[TrainingPair]) -> list[TrainingPair]:
    """The pairs whose prompts are not held out."""
    texts = {pair.prompt.text for pair in held_out}
    return [pair for pair in pairs if pair.prompt.text not in texts]
