"""Trains a reward model on labelled pairs. Training can be killed at any moment and resumed (`training/state.py`).

Its state is saved every `save_every` steps and at the end of each epoch; later steps are repeated.
"""

import dataclasses
import math
from array import array
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import torch
from torch import Tensor

from preceptor.core.errors import UsageError
from preceptor.core.hashing import content_hash, unit_hash
from preceptor.core.types import JsonObject
from preceptor.objectives.bradley_terry import soft_preference_loss
from preceptor.store.training_pairs import TrainingPair, hard
from preceptor.training.gradients import accumulate, parts_to_learn
from preceptor.training.memory import memory_for
from preceptor.training.optimizer import Optimizer
from preceptor.training.processes import Processes
from preceptor.training.reward_model.encoding import NoReward
from preceptor.training.reward_model.model import RewardModel
from preceptor.training.reward_model.settings import RewardModelSettings
from preceptor.training.state import TrainingState


@dataclass(frozen=True)
class RewardStepFacts:
    """The facts of one step. They are deterministic, so they contain no times."""

    epoch: int
    """Counted from 1."""
    loss: float
    """Mean loss over the batch's pairs, weights and centring included."""
    accuracy: float | None
    """Share of pairs, ties left out, that the rewards order as the label does; equal rewards count half."""
    margin: float
    """Mean reward of the chosen response minus that of the rejected one."""
    reward: float
    """Mean reward of all responses."""
    grad_norm: float
    """Before clipping."""
    learning_rate: float


@dataclass(frozen=True)
class RewardTraining:
    """The result of a training run."""

    steps: int
    pairs: int
    """Number of pairs used for training."""
    left_out: dict[str, int]
    """Number of pairs left out, by reason."""


@dataclass(frozen=True)
class EncodedPair:
    """A pair as the reward model reads it."""

    chosen: "array[int]"
    rejected: "array[int]"
    p_chosen: float
    weight: float

    @property
    def hash(self) -> str:
        """A hash of the pair's content."""
        return content_hash([list(self.chosen), list(self.rejected), self.p_chosen, self.weight])

    @property
    def length(self) -> int:
        """Tokens of the longer text."""
        return max(len(self.chosen), len(self.rejected))


@dataclass(frozen=True)
class _Batch:
    """The pairs of one step."""

    step: int
    epoch: int
    pairs: list[int]
    ends_epoch: bool


@dataclass(frozen=True)
class ScoredPair:
    """A pair's rewards in a step, and its loss."""

    chosen: float
    rejected: float
    p_chosen: float
    loss: float


def train_reward_model(
    model: RewardModel,
    pairs: Sequence[TrainingPair],
    settings: RewardModelSettings,
    *,
    root: Path,
    seed: int,
    processes: Processes,
    on_step: Callable[[int, int, RewardStepFacts], None] = lambda step, total, facts: None,
) -> RewardTraining:
    """Trains a reward model, continuing from the state in `root`.

    Every epoch goes through all pairs in a new order, which depends only on the seed and the epoch.

    Args:
        pairs: training pairs; pairs whose text is too long are left out and counted.
        root: the folder of metrics and state.
        on_step: called on the main process after each finished step, with its number, the total, and the facts.

    Raises: UsageError when the pairs teach nothing, or `root` holds the state of another training (of other pairs,
        settings, seed or model); PreceptorError when training diverges.
    """
    encoded, left_out = encode_pairs(model, pairs, settings)
    total = math.ceil(len(encoded) / settings.batch_size) * settings.epochs
    optimizer = Optimizer(model.trainable, settings, total, processes)
    setup = setup_hash(settings, seed, model, encoded)
    state = TrainingState(root)

    def save() -> None:
        state.save(model.step, model.weights(), optimizer.state(), {"step": model.step, "setup": setup})
        state.drop_older()

    for batch in _batches(len(encoded), settings, seed, after=_restore(state, setup, model, optimizer, processes)):
        facts = _step(model, optimizer, [encoded[i] for i in batch.pairs], settings, processes, batch)
        model.step = batch.step
        processes.on_main(partial(state.add_row, {"step": batch.step, **dataclasses.asdict(facts)}))
        if batch.ends_epoch or batch.step % settings.save_every == 0:
            processes.on_main(save)
        if processes.is_main:
            on_step(batch.step, total, facts)
    return RewardTraining(total, len(encoded), left_out)


def setup_hash(
    settings: RewardModelSettings,
    seed: int,
    model: RewardModel,
    encoded: Sequence[EncodedPair],
    *others: JsonObject,
) -> str:
    """A hash of everything that the numbers of a training depend on.

    Args:
        others: further settings.
    """
    return content_hash(
        [settings.model_dump(mode="json"), seed, model.made_of, [pair.hash for pair in encoded], *others]
    )


def _restore(state: TrainingState, setup: str, model: RewardModel, optimizer: Optimizer, processes: Processes) -> int:
    """Restores the newest state, if there is one, and cuts the rows to match.

    Args:
        setup: a hash of everything that the numbers depend on: settings, seed, model and pairs.

    Returns: the number of finished steps.
    Raises: CheckpointError when the state is truncated or altered, UsageError when it is another training's.
    """

    def prepare() -> int:
        newest = state.newest()
        if newest is not None and newest["setup"] != setup:
            raise UsageError(
                f"{state.folder}: holds the state of a training with other pairs, settings, seed, tuning or model; "
                "train in another folder, or delete this one"
            )
        state.cut_rows()
        return state.step

    step = processes.on_main(prepare)
    if step:
        weights, kept, _ = state.load(str(model.trainable[0].device))
        model.load_weights(weights, step)
        optimizer.load_state(kept)
    return step


def encode_pairs(
    model: RewardModel, pairs: Sequence[TrainingPair], settings: RewardModelSettings
) -> tuple[list[EncodedPair], dict[str, int]]:
    """Encodes the pairs for the model. Also returns how many were left out, by reason.

    Raises: UsageError when no pair is left from which the model can learn.
    """
    left_out: Counter[str] = Counter()
    usable = hard(pairs) if settings.labels == "hard" else pairs
    if len(usable) < len(pairs):
        left_out["a tie, which has no hard label"] = len(pairs) - len(usable)
    encoded: list[EncodedPair] = []
    for pair in usable:
        chosen, rejected = model.encode(pair.prompt, pair.chosen), model.encode(pair.prompt, pair.rejected)
        if isinstance(chosen, NoReward) or isinstance(rejected, NoReward):
            no_reward = chosen if isinstance(chosen, NoReward) else rejected
            assert isinstance(no_reward, NoReward)
            left_out[no_reward.kind] += 1
        elif chosen == rejected:
            left_out["both texts are the same to the model"] += 1
        else:
            encoded.append(EncodedPair(array("i", chosen), array("i", rejected), pair.p_chosen, pair.weight))
    if all(pair.p_chosen == 0.5 for pair in encoded):
        why = "every label is a tie (0.5)" if encoded else "no pair is left"
        counts = "".join(f"; left out: {count} times {reason}" for reason, count in left_out.items())
        raise UsageError(
            f"the reward model has nothing to learn: of {len(pairs)} training pairs {why}{counts}; give pairs of which "
            "one response is preferred"
        )
    return encoded, dict(left_out)


def _batches(count: int, settings: RewardModelSettings, seed: int, *, after: int) -> Iterator[_Batch]:
    """The batches of the steps that follow the given one."""
    per_epoch = math.ceil(count / settings.batch_size)
    for epoch in range(after // per_epoch, settings.epochs):
        order = order_of_epoch(count, epoch, seed)
        for place in range(per_epoch):
            step = epoch * per_epoch + place + 1
            if step > after:
                pairs = order[place * settings.batch_size : (place + 1) * settings.batch_size]
                yield _Batch(step, epoch + 1, pairs, place + 1 == per_epoch)


def order_of_epoch(count: int, epoch: int, seed: int) -> list[int]:
    """All pairs in the order in which an epoch takes them; epochs count from 0."""
    return sorted(range(count), key=lambda i: unit_hash(seed, "reward epoch", epoch, i))


def _step(
    model: RewardModel,
    optimizer: Optimizer,
    pairs: Sequence[EncodedPair],
    settings: RewardModelSettings,
    processes: Processes,
    place: _Batch,
) -> RewardStepFacts:
    """One step on a batch, of which each process computes its part."""
    mine, count = processes.part(pairs), settings.gradient_accumulation_steps
    sizes = [len(pair.chosen) + len(pair.rejected) for pair in mine]
    with memory_for("a step of the reward model", "batch_size or max_length, or raise gradient_accumulation_steps"):
        by_part = accumulate(
            lambda part: _loss(model, mine[part.start : part.stop], settings.center_coefficient, len(pairs)),
            parts_to_learn(sizes, model.tokens_at_once, model.device, count),
            model.trainable,
            one_by_one=model.recomputes,
        )
    scored = processes.gather([pair for part in by_part for pair in part])
    loss = math.fsum(pair.loss for pair in scored) / len(scored)
    stepped = optimizer.step(loss, f"step {place.step} of the reward model")
    return reward_facts(place.epoch, scored, stepped.grad_norm, stepped.learning_rate)


def reward_facts(epoch: int, scored: Sequence[ScoredPair], grad_norm: float, learning_rate: float) -> RewardStepFacts:
    """The facts of a step on these pairs; epochs count from 1."""
    margins = [pair.chosen - pair.rejected for pair in scored]
    decided = [
        0.5 if margin == 0.0 else float((margin > 0.0) == (pair.p_chosen > 0.5))
        for margin, pair in zip(margins, scored, strict=True)
        if pair.p_chosen != 0.5
    ]
    return RewardStepFacts(
        epoch=epoch,
        loss=math.fsum(pair.loss for pair in scored) / len(scored),
        accuracy=math.fsum(decided) / len(decided) if decided else None,
        margin=math.fsum(margins) / len(scored),
        reward=math.fsum(pair.chosen + pair.rejected for pair in scored) / (2 * len(scored)),
        grad_norm=grad_norm,
        learning_rate=learning_rate,
    )


def _loss(
    model: RewardModel, part: Sequence[EncodedPair], center_coefficient: float, batch_size: int
) -> tuple[Tensor, list[ScoredPair]]:
    """A part's share of the batch's loss; both texts of every pair are computed together."""
    chosen_B, rejected_B = model.rewards([text for pair in part for text in (pair.chosen, pair.rejected)]).view(-1, 2).T
    p_chosen_B = torch.tensor([pair.p_chosen for pair in part], device=chosen_B.device)
    weights_B = torch.tensor([pair.weight for pair in part], device=chosen_B.device)
    losses_B = soft_preference_loss(chosen_B, rejected_B, p_chosen_B, weights_B, center_coefficient)
    columns = (chosen_B.tolist(), rejected_B.tolist(), [pair.p_chosen for pair in part], losses_B.tolist())
    return losses_B.sum() / batch_size, [ScoredPair(*row) for row in zip(*columns, strict=True)]
