"""Direct preference optimisation: trains a policy on pairs with probabilities."""

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache

import torch
from torch import Tensor

from preceptor.backends.transformers.attention import tokens_at_once
from preceptor.backends.transformers.trajectories import rewritten, rewritten_note
from preceptor.core.errors import UsageError
from preceptor.core.hashing import unit_hash
from preceptor.core.types import JsonObject
from preceptor.objectives.dpo import dpo_losses, implicit_rewards
from preceptor.store.training_pairs import TrainingPair, hard
from preceptor.training.dpo.encoding import PackedPair, pack_pairs
from preceptor.training.dpo.reference import pair_log_probs, reference_log_probs
from preceptor.training.dpo.settings import DpoSettings
from preceptor.training.gradients import accumulate, parts_to_learn
from preceptor.training.memory import memory_for
from preceptor.training.optimizer import Optimizer
from preceptor.training.policy import FOR_LESS_MEMORY, Policy
from preceptor.training.processes import Processes
from preceptor.training.state import TorchState
from preceptor.training.steps import Checkpointing, take_steps

ROUNDING = 1e-6
"""A margin below this is 0: before the first step the policy is the reference."""


@dataclass(frozen=True)
class DpoFacts:
    """The facts of one update. They are deterministic, so they contain no times."""

    loss: float
    """Mean loss over the batch, weighted by the pairs' weights."""
    accuracy: float | None
    """Share of pairs whose implicit rewards agree with the label, without ties; None if all labels are ties."""
    margin: float
    """Mean implicit reward of the chosen response minus that of the rejected one."""
    chosen_log_prob: float
    """Mean log-probability of the chosen responses, in nats."""
    rejected_log_prob: float
    pairs: int
    grad_norm: float
    learning_rate: float


@dataclass(frozen=True)
class SeenPair:
    """One pair in an update, with sums of log-probabilities in nats."""

    loss: float
    margin: float
    chosen: float
    rejected: float
    p_chosen: float


def train_dpo(
    policy: Policy,
    pairs: Sequence[TrainingPair],
    settings: DpoSettings,
    *,
    checkpoints: Checkpointing,
    seed: int,
    processes: Processes,
    on_step: Callable[[int, int, DpoFacts], None],
    on_note: Callable[[str], None],
) -> int:
    """Trains the policy, continuing from the state on disk, as `take_steps` does.

    Args:
        checkpoints: the reference's log-probabilities are kept in the folder of their files.
        on_step: called in the main process after each finished step with its number, the total, and the facts.
        on_note: called in the main process with how many pairs were left out and why.

    Returns: the number of finished steps.
    Raises: UsageError when no pair is usable; PreceptorError when training diverges or memory does not suffice.
    """
    encoded = usable_pairs(policy, pairs, settings, on_note if processes.is_main else lambda _: None)
    steps = settings.epochs * math.ceil(len(encoded) / settings.batch_size)
    processes.on_main(checkpoints.files.prepare)
    reference_M2 = reference_log_probs(policy, encoded, checkpoints.files.root / "reference", processes)
    updater = DpoUpdater(policy, encoded, reference_M2, settings, steps, processes)

    def take(step: int) -> tuple[DpoFacts, dict[str, float]]:
        start = time.perf_counter()
        facts = updater.update(batch_of_step([pair.id for pair in encoded], step, settings.batch_size, seed))
        return facts, {"update": time.perf_counter() - start}

    return take_steps(
        policy,
        updater,
        steps,
        take,
        checkpoints=checkpoints,
        processes=processes,
        on_step=lambda step, facts: on_step(step, steps, facts),
    )


class DpoUpdater:
    """A policy with its optimiser and M pairs.

    Args:
        reference_M2: log-probabilities of chosen and rejected under the reference.
        steps: number of steps of the whole training, for the schedule.
    """

    def __init__(
        self,
        policy: Policy,
        pairs: Sequence[PackedPair],
        reference_M2: Tensor,
        settings: DpoSettings,
        steps: int,
        processes: Processes,
    ) -> None:
        self._policy = policy
        self._pairs = pairs
        self._reference_M2 = reference_M2.to(policy.base.model.device)
        self._settings = settings
        self._processes = processes
        # The mean weight over the dataset is 1, so that the scale of weights does not change the learning rate.
        self._mean_weight = sum(pair.weight for pair in pairs) / len(pairs)
        self._optimizer = Optimizer(policy.trainable, settings, steps, processes)

    def update(self, batch: Sequence[int]) -> DpoFacts:
        """Learns from a batch of pairs, given by their indices.

        Raises: PreceptorError when the loss or the gradient is not finite.
        """
        mine = self._processes.part(batch)
        model = self._policy.base.model
        sizes = [self._policy.size(self._pairs[i].tokens) for i in mine]
        count = self._settings.gradient_accumulation_steps
        parts = parts_to_learn(sizes, tokens_at_once(model), model.device, count)
        with memory_for("a backward pass", FOR_LESS_MEMORY):
            seen = accumulate(
                lambda part: self._loss(mine[part.start : part.stop], len(batch)),
                parts,
                self._policy.trainable,
                one_by_one=self._policy.recomputes,
            )
        everyone = self._processes.gather([pair for part in seen for pair in part])
        loss = sum(pair.loss for pair in everyone) / len(batch)
        stepped = self._optimizer.step(loss, f"step {self._policy.step + 1}")
        return dpo_facts(everyone, stepped.grad_norm, stepped.learning_rate)

    def state(self) -> TorchState:
        """What the next step needs besides the policy's weights."""
        return self._optimizer.state()

    def extra(self) -> JsonObject:
        """Returns nothing; `state` holds everything."""
        return {}

    def load(self, state: TorchState, extra: JsonObject) -> None:
        """Restores what `state` returned."""
        self._optimizer.load_state(state)

    def _loss(self, places: Sequence[int], batch_size: int) -> tuple[Tensor, list[SeenPair]]:
        """The part of the batch's loss that these pairs contribute."""
        settings, device = self._settings, self._reference_M2.device
        groups = [self._pairs[i].tokens for i in places]
        p_B = torch.tensor([self._pairs[i].p_chosen for i in places], device=device)
        weights_B = torch.tensor([self._pairs[i].weight / self._mean_weight for i in places], device=device)
        reference_B2 = self._reference_M2[torch.tensor(places, device=device)]
        policy_B2 = pair_log_probs(self._policy.log_probs(groups), groups)
        losses_B = weights_B * dpo_losses(
            *policy_B2.unbind(dim=1),
            *reference_B2.unbind(dim=1),
            beta=settings.beta,
            p_chosen_B=p_B,
            kind=settings.kind,
            label_smoothing=settings.label_smoothing,
        )
        policy_B2 = policy_B2.detach()
        chosen_B, rejected_B = (implicit_rewards(policy_B2[:, i], reference_B2[:, i], settings.beta) for i in (0, 1))
        columns = (losses_B.detach(), chosen_B - rejected_B, policy_B2[:, 0], policy_B2[:, 1], p_B)
        return losses_B.sum() / batch_size, [SeenPair(*row) for row in torch.stack(columns, dim=1).tolist()]


def dpo_facts(seen: Sequence[SeenPair], grad_norm: float, learning_rate: float, rounding: float = ROUNDING) -> DpoFacts:
    """The facts of an update on these pairs.

    Args:
        rounding: a margin below this is 0.
    """
    agree = [
        0.5 if abs(pair.margin) < rounding else float((pair.margin > 0.0) == (pair.p_chosen > 0.5))
        for pair in seen
        if pair.p_chosen != 0.5
    ]
    return DpoFacts(
        loss=sum(pair.loss for pair in seen) / len(seen),
        accuracy=sum(agree) / len(agree) if agree else None,
        margin=sum(pair.margin for pair in seen) / len(seen),
        chosen_log_prob=sum(pair.chosen for pair in seen) / len(seen),
        rejected_log_prob=sum(pair.rejected for pair in seen) / len(seen),
        pairs=len(seen),
        grad_norm=grad_norm,
        learning_rate=learning_rate,
    )


def batch_of_step(ids: Sequence[str], step: int, batch_size: int, seed: int) -> list[int]:
    """Indices of the pairs of a step; steps count from 1. Every epoch goes through all pairs in a new order."""
    batches = math.ceil(len(ids) / batch_size)
    epoch, index = divmod(step - 1, batches)
    return list(order_of_epoch(tuple(ids), epoch, seed)[index * batch_size : (index + 1) * batch_size])


@lru_cache(maxsize=1)
def order_of_epoch(ids: tuple[str, ...], epoch: int, seed: int) -> tuple[int, ...]:
    """Indices of all pairs in the order in which an epoch takes them; epochs count from 0."""
    return tuple(sorted(range(len(ids)), key=lambda i: unit_hash(seed, "dpo", epoch, ids[i])))


def usable_pairs(
    policy: Policy, pairs: Sequence[TrainingPair], settings: DpoSettings, on_note: Callable[[str], None]
) -> list[PackedPair]:
    """The encoded pairs to learn from.

    Args:
        on_note: called with how many pairs were left out and why.

    Raises: UsageError when there is none.
    """
    labelled = list(pairs) if settings.labels == "soft" else hard(pairs)
    longest = min(settings.max_length, policy.base.context_window)
    encoded, reasons = pack_pairs(policy, labelled, longest)
    if len(labelled) < len(pairs):
        reasons = {"a tie has no hard label": len(pairs) - len(labelled), **reasons}
    notes = [f"{count} of {len(pairs)} pairs left out: {why}" for why, count in reasons.items()]
    for note in [*notes, *_about_trajectories(policy, encoded)]:
        on_note(note)
    if not encoded:
        raise UsageError(f"no pair to learn from: {'; '.join(notes) or 'there are none'}")
    if all(pair.p_chosen == 0.5 for pair in encoded):
        raise UsageError(
            f"no pair to learn from: the label of all {len(encoded)} is a tie (0.5); give pairs of which one response "
            "is preferred"
        )
    return encoded


def _about_trajectories(policy: Policy, pairs: Sequence[PackedPair]) -> list[str]:
    """A note where trajectories are learned otherwise than a chat server would show them."""
    trajectories = any(pair.tokens.learned is not None for pair in pairs)
    changed = rewritten(policy.base.tokenizer) if trajectories else ""
    return [rewritten_note(changed)] if changed else []
