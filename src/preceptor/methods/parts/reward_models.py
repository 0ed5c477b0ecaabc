"""Training reward models on preferences, and measuring them on held-out pairs."""

from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TypeAlias

from preceptor.core.numbers import number
from preceptor.core.types import Frozen, JsonObject
from preceptor.evaluation.judges.reward_accuracy import RewardAccuracy, ScoredPair, reward_accuracy
from preceptor.recipes.settings import RewardModelTable
from preceptor.results.reward_model_record import RewardModelMember, RewardModelRecord
from preceptor.runs.session import Session
from preceptor.runs.tracking import tracked
from preceptor.store.files import check_folder, read_json, write_folder, write_json, writing
from preceptor.store.training_pairs import TrainingPair, split
from preceptor.training.policy import dtype_of
from preceptor.training.processes import Processes
from preceptor.training.reward_model.debiasing import take_out_length
from preceptor.training.reward_model.encoding import NoReward
from preceptor.training.reward_model.ensemble import RewardEnsemble, member_seed
from preceptor.training.reward_model.model import RewardModel
from preceptor.training.reward_model.settings import RewardModelSettings
from preceptor.training.reward_model.soup import soup
from preceptor.training.reward_model.train import RewardStepFacts, RewardTraining, train_reward_model
from preceptor.training.trl.settings import EngineSettings
from preceptor.training.tuning import TuningSettings


class SoupRecord(Frozen):
    """What became of a soup."""

    length_correlation: float | None
    """As in `RewardModelMember`."""


Scorer: TypeAlias = RewardModel | RewardEnsemble
CENTRED_ON = 64
"""Pairs used to centre each member of an ensemble: the mean reward of their responses becomes 0."""


def train_reward_models(session: Session, table: RewardModelTable, base: str, pairs: Sequence[TrainingPair]) -> None:
    """Trains the members, each in its own folder in `reward_model/`, and measures them together on held-out pairs.

    Args:
        base: the language model that each starts from, unless the recipe names another.

    Raises: UsageError when there is nothing to learn from the pairs; PreceptorError when training diverges.
    """
    settings = table.learning
    training, held_out = split(pairs, settings.held_out_share)

    def work() -> RewardModelRecord:
        trained = [
            _train_member(session, settings, table.model or base, training, held_out, member)
            for member in range(settings.members)
        ]
        return session.processes.on_main(lambda: _result(session, settings, trained, training, held_out))

    words = f"training a reward model on {len(training)} pairs"
    session.stage("reward_model", words, RewardModelRecord, work, together=True)


def train_on(
    engine: EngineSettings,
    model: RewardModel,
    pairs: Sequence[TrainingPair],
    settings: RewardModelSettings,
    tuning: TuningSettings,
    passed_on: JsonObject | None = None,
    *,
    root: Path,
    seed: int,
    processes: Processes,
    on_step: Callable[[int, int, RewardStepFacts], None],
) -> RewardTraining:
    """Trains a reward model on an engine, as `train_reward_model` does.

    Args:
        passed_on: further settings of TRL's trainer.
    """
    if not engine.is_trl:
        return train_reward_model(model, pairs, settings, root=root, seed=seed, processes=processes, on_step=on_step)
    from preceptor.training.trl.reward_model import train_reward_model_on_trl  # loads TRL

    return train_reward_model_on_trl(
        model, pairs, settings, tuning, passed_on or {}, root=root, seed=seed, processes=processes, on_step=on_step
    )


def open_reward_model(session: Session, settings: RewardModelSettings) -> Scorer:
    """The reward model, the soup or the ensemble that `train_reward_models` made. For the main process.

    Raises: CheckpointError when one was altered.
    """
    kept = session.directory.stage_result("reward_model", RewardModelRecord)
    return _open(session, settings, None if kept is None else kept.offsets)


def accuracy_of(model: Scorer, pairs: Sequence[TrainingPair]) -> RewardAccuracy | None:
    """How well a reward model orders pairs; None if there are no pairs, or none of them has a reward."""
    items = [(pair.prompt, response) for pair in pairs for response in (pair.chosen, pair.rejected)]
    rewards = model.score(items)
    scored = [_scored(pair, *rewards[2 * i : 2 * i + 2]) for i, pair in enumerate(pairs)]
    return reward_accuracy(scored) if any(pair.margin is not None for pair in scored) else None


def _folder(session: Session, member: int) -> Path:
    return session.directory.path / "reward_model" / f"member-{member}"


def _train_member(
    session: Session,
    settings: RewardModelSettings,
    base: str,
    training: Sequence[TrainingPair],
    held_out: Sequence[TrainingPair],
    member: int,
) -> RewardModelMember:
    """Trains one member, unless an earlier process finished it; returns the result."""
    recipe, folder = session.recipe, _folder(session, member)
    if session.processes.on_main((folder / "model").exists):
        session.processes.on_main(lambda: check_folder(folder / "model"))
        return session.processes.on_main(lambda: RewardModelMember.model_validate(read_json(folder / "trained.json")))
    seed = member_seed(recipe.seed, member)
    begun = beginning_seed(settings, recipe.seed, member)
    model = RewardModel.from_language_model(base, recipe.tuning, begun, max_length=settings.max_length)
    with tracked(session, f"reward_model_{member}") as track:
        trained = train_on(
            recipe.engine,
            model,
            training,
            settings,
            recipe.tuning,
            root=folder,
            seed=seed,
            processes=session.processes,
            on_step=lambda step, total, facts: track(step, total, asdict(facts)),
        )

    def save() -> RewardModelMember:
        correlation = without_length_if_asked(model, settings, training) if settings.combine == "ensemble" else None
        record = RewardModelMember(
            steps=trained.steps, pairs=trained.pairs, left_out=trained.left_out, length_correlation=correlation
        )
        write_json(folder / "trained.json", record.model_dump(mode="json"))
        _save(folder / "model", model, settings, trained.pairs, held_out, correlation)
        return record

    return session.processes.on_main(save)


def without_length_if_asked(
    model: RewardModel, settings: RewardModelSettings, training: Sequence[TrainingPair]
) -> float | None:
    """Takes length out of a trained model, if the settings say so.

    Returns: the correlation of scores' and lengths' differences on the training pairs before; None if nothing was done.
    """
    return take_out_length(model, training) if settings.length_debiased else None


def beginning_seed(settings: RewardModelSettings, seed: int, member: int) -> int:
    """The seed of a member's head and adapters: the members of a soup begin alike.

    Args:
        seed: of the run.
    """
    return member_seed(seed, 0 if settings.combine == "soup" else member)


def _save(
    folder: Path,
    model: RewardModel,
    settings: RewardModelSettings,
    pairs: int,
    held_out: Sequence[TrainingPair],
    correlation: float | None,
) -> None:
    accuracy = accuracy_of(model, held_out)
    facts: dict[str, object] = {
        "training pairs": pairs,
        "labels": settings.labels,
        "held-out pairs": len(held_out),
        "on held-out pairs": "not measured" if accuracy is None else accuracy.summary(),
    }
    write_folder(folder, lambda partial: model.save(partial, facts | length_facts(correlation)))


def length_facts(correlation: float | None) -> dict[str, object]:
    """What a model card says of a head without length."""
    if correlation is None:
        return {}
    return {
        "length taken out": f"correlation with length on training pairs {number(correlation, 2, True)} before, 0 after"
    }


def _make_soup(
    session: Session,
    settings: RewardModelSettings,
    training: Sequence[TrainingPair],
    held_out: Sequence[TrainingPair],
) -> float | None:
    """Averages the members, unless an earlier process did. In the main process.

    Returns: as `without_length_if_asked`.
    """
    folder = session.directory.path / "reward_model" / "soup"
    if (folder / "model").exists():
        check_folder(folder / "model")
        return SoupRecord.model_validate(read_json(folder / "soup.json")).length_correlation
    model = soup([_folder(session, member) / "model" for member in range(settings.members)])
    correlation = without_length_if_asked(model, settings, training)
    with writing(folder):
        folder.mkdir(parents=True, exist_ok=True)
    write_json(folder / "soup.json", SoupRecord(length_correlation=correlation).model_dump(mode="json"))
    _save(folder / "model", model, settings, len(training), held_out, correlation)
    return correlation


def _result(
    session: Session,
    settings: RewardModelSettings,
    trained: Sequence[RewardModelMember],
    training: Sequence[TrainingPair],
    held_out: Sequence[TrainingPair],
) -> RewardModelRecord:
    correlation = _make_soup(session, settings, training, held_out) if settings.combine == "soup" else None
    model = _open(session, settings, None)
    offsets: tuple[float, ...] | None = None
    if isinstance(model, RewardEnsemble):
        pairs = training[:CENTRED_ON]
        model.centre([(pair.prompt, response) for pair in pairs for response in (pair.chosen, pair.rejected)])
        offsets = tuple(model.offsets_M)
    accuracy = accuracy_of(model, held_out) if held_out else None
    return RewardModelRecord(
        identity=model.identity,
        members=len(trained),
        pessimism=settings.pessimism,
        offsets=offsets,
        training_pairs=len(training),
        trained=tuple(trained),
        held_out_pairs=len(held_out),
        accuracy=accuracy,
        in_words="not measured: no pair was held out" if accuracy is None else accuracy.summary(),
        combine=settings.combine,
        length_correlation=trained[0].length_correlation if correlation is None else correlation,
    )


def _open(session: Session, settings: RewardModelSettings, offsets: Sequence[float] | None) -> Scorer:
    dtype = dtype_of(session.recipe.tuning)
    if settings.combine == "soup":
        return RewardModel.load(session.directory.path / "reward_model" / "soup" / "model", dtype)
    models = [RewardModel.load(_folder(session, i) / "model", dtype) for i in range(settings.members)]
    return models[0] if len(models) == 1 else RewardEnsemble(models, settings.pessimism, offsets)


def _scored(pair: TrainingPair, chosen: float | NoReward, rejected: float | NoReward) -> ScoredPair:
    known = not isinstance(chosen, NoReward) and not isinstance(rejected, NoReward)
    return ScoredPair(
        prompt_id=pair.prompt.id,
        margin=chosen - rejected if known else None,  # pyright: ignore[reportOperatorIssue]
        p_chosen=pair.p_chosen,
        source=pair.source,
        length_chosen=len(pair.chosen.text),
        length_rejected=len(pair.rejected.text),
    )
