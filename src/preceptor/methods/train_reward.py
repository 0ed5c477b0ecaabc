"""Training a reward model by itself: labelled pairs in, a model and what it is worth out."""

import time
from collections import Counter
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from preceptor.core.environment import environment
from preceptor.core.errors import UsageError
from preceptor.core.outlook import TRAINING_STAGE
from preceptor.core.progress import Progress, Silence
from preceptor.display.progress import shown
from preceptor.methods.parts.reward_models import accuracy_of
from preceptor.store.files import check_folder, write_folder, write_json
from preceptor.store.own_folder import check_own, working_in
from preceptor.store.training_pairs import TrainingPair, combine, read_training_pairs, split
from preceptor.training.processes import Processes
from preceptor.training.reward_model.model import RewardModel
from preceptor.training.reward_model.settings import RewardModelSettings
from preceptor.training.reward_model.train import train_reward_model
from preceptor.training.tuning import TuningSettings


@dataclass(frozen=True)
class RewardJob:
    """What a reward model is made of."""

    data: tuple[Path, ...]
    """Datasets of labelled pairs; a human label replaces AI labels of the same comparison."""
    out: Path
    model: str
    """A model string: what it begins as."""
    settings: RewardModelSettings
    tuning: TuningSettings
    test: Path | None = None
    """Labelled pairs to measure it on; a share of `data` when None."""
    seed: int = 0


def run_train_reward(
    job: RewardJob, processes: Processes | None = None, progress: Progress | None = None
) -> dict[str, Any]:
    """Trains a reward model, from wherever an earlier process left it, and measures it on pairs it has not seen.

    Every process of an `accelerate launch` calls it.

    Returns: the summary, as in `summary.json`, in every process.
    Raises: UsageError on faulty input or a folder that holds other work; PreceptorError when training diverges.
    """
    processes = processes or Processes()
    with shown(progress if processes.is_main else Silence()) as display:
        return _train(job, processes, display)


def _train(job: RewardJob, processes: Processes, progress: Progress) -> dict[str, Any]:
    begun = time.perf_counter()
    processes.on_main(lambda: check_own(job.out, "reward model"))
    pairs, left_out = _read(job.data)
    training, held_out = (pairs, _read((job.test,))[0]) if job.test else split(pairs, job.settings.held_out_share)
    if job.test:
        training = _without(training, held_out)
    progress.note(
        f"{len(training)} pairs to train on, {len(held_out)} held out; {sum(left_out.values())} rows left out"
    )
    if job.settings.members > 1:
        raise UsageError("reward_model.members: one reward model is trained here; `preceptor run rlaif` trains several")
    with ExitStack() as held:
        processes.on_main(lambda: held.enter_context(working_in(job.out, "reward model")))
        progress.stage("loading the model")
        model = RewardModel.from_language_model(job.model, job.tuning, job.seed, max_length=job.settings.max_length)
        progress.stage(TRAINING_STAGE)
        trained = train_reward_model(
            model,
            training,
            job.settings,
            root=job.out,
            seed=job.seed,
            processes=processes,
            on_step=lambda step, total, facts: progress.step(step, total, asdict(facts)),
        )
        progress.stage(f"measuring on {len(held_out)} held-out pairs")
        facts = {
            "by_source": dict(Counter(pair.source for pair in training)),
            "left_out": {**left_out, **trained.left_out},
        }
        return processes.on_main(lambda: _finish(job, model, trained.pairs, held_out, facts, begun))


def _finish(
    job: RewardJob,
    model: RewardModel,
    training_pairs: int,
    held_out: Sequence[TrainingPair],
    facts: dict[str, Any],
    begun: float,
) -> dict[str, Any]:
    """Measures, writes the model and gives the summary. In the main process."""
    accuracy = accuracy_of(model, held_out) if held_out else None
    words = "not measured" if accuracy is None else accuracy.summary()
    folder = job.out / "model"
    if folder.exists():
        check_folder(folder)
    else:
        about = {"training pairs": training_pairs, "labels": job.settings.labels, "on held-out pairs": words}
        write_folder(folder, lambda partial: model.save(partial, about))
    summary = {
        "status": "done",
        "model": model.identity,
        "labels": job.settings.labels,
        "seed": job.seed,
        "training_pairs": training_pairs,
        "held_out_pairs": len(held_out),
        **facts,
        "accuracy": None if accuracy is None else accuracy.model_dump(mode="json"),
        "in_words": words,
        "seconds": round(time.perf_counter() - begun, 1),
        "settings": job.settings.model_dump(mode="json"),
        "tuning": job.tuning.model_dump(mode="json"),
        "environment": environment(),
    }
    write_json(job.out / "summary.json", summary)
    return summary


def _read(paths: Sequence[Path]) -> tuple[list[TrainingPair], dict[str, int]]:
    sets: list[list[TrainingPair]] = []
    left_out: Counter[str] = Counter()
    for path in paths:
        pairs, reasons = read_training_pairs(path)
        sets.append(pairs)
        left_out.update(reason.rpartition(": ")[2] for reason in reasons)
    found = combine(sets)
    if not found:
        names = ", ".join(map(str, paths))
        raise UsageError(f"{names}: no labelled pair to learn; {dict(left_out) or 'there are no rows'}")
    return found, dict(left_out)


def _without(pairs: Sequence[TrainingPair], held_out: Sequence[TrainingPair]) -> list[TrainingPair]:
    """The pairs whose prompts are not held out."""
    texts = {pair.prompt.text for pair in held_out}
    return [pair for pair in pairs if pair.prompt.text not in texts]
