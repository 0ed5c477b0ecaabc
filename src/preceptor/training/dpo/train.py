"""Direct preference optimisation and its relatives: trains a policy on pairs with probabilities."""

import dataclasses
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache

import torch
from torch import Tensor

from preceptor.backends.transformers.trajectories import rewritten, rewritten_note
from preceptor.core.errors import UsageError
from preceptor.core.hashing import unit_hash
from preceptor.objectives.preferences.kinds import KINDS
from preceptor.objectives.preferences.pairs import PairLoss, Pairs, margins
from preceptor.store.training_pairs import TrainingPair, hard
from preceptor.training.dpo.encoding import PackedPair, pack_pairs
from preceptor.training.dpo.losses import pair_loss
from preceptor.training.dpo.reference import reference_log_probs, response_log_probs
from preceptor.training.dpo.settings import DpoSettings
from preceptor.training.dpo.updating import relative_weights, take_updates
from preceptor.training.packed import TokenGroup
from preceptor.training.policy import Policy
from preceptor.training.steps import TrainingContext

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
    """Mean implicit reward of the chosen response minus that of the rejected one; what the reward is depends on the
    loss."""
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
    context: TrainingContext,
    *,
    on_step: Callable[[int, int, DpoFacts], None],
    on_note: Callable[[str], None],
) -> int:
    """Trains the policy by a loss of pairs, continuing from the state on disk, as `take_steps` does.

    Args:
        context: the reference's log-probabilities, if the loss needs them, are kept in the folder of its checkpoints'
            files.
        on_step: called in the main process after each finished step with its number, the total, and the facts.
        on_note: called in the main process with how many pairs were left out and why.

    Returns: the number of finished steps.
    Raises: UsageError when no pair is usable; PreceptorError when training diverges or memory does not suffice.
    """
    encoded = usable_pairs(policy, pairs, settings, on_note if context.processes.is_main else lambda _: None)
    files = context.checkpoints.files
    context.processes.on_main(files.prepare)
    reference_M2 = None
    if KINDS[settings.kind].reference:
        groups = [pair.tokens for pair in encoded]
        reference_M2 = reference_log_probs(policy, groups, files.root / "reference", context.processes)
    lessons = PairLessons(policy, encoded, reference_M2, settings, context.seed)
    return take_updates(policy, lessons, settings, context, on_step=on_step)


class PairLessons:
    """M pairs and their loss.

    Args:
        reference_M2: log-probabilities of chosen and rejected under the reference; None if the loss needs none.
    """

    def __init__(
        self,
        policy: Policy,
        pairs: Sequence[PackedPair],
        reference_M2: Tensor | None,
        settings: DpoSettings,
        seed: int,
    ) -> None:
        self._policy = policy
        self._pairs = pairs
        self._ids = [pair.id for pair in pairs]
        self._device: torch.device = policy.base.model.device
        self._reference_M2 = None if reference_M2 is None else reference_M2.to(self._device)
        self._weights_M = relative_weights([pair.weight for pair in pairs], self._device)
        self._loss = pair_loss(settings)
        self._settings = settings
        self._seed = seed

    @property
    def steps(self) -> int:
        """Updates of the whole training."""
        return self._settings.epochs * math.ceil(len(self._pairs) / self._settings.batch_size)

    def batch(self, step: int) -> list[int]:
        """The pairs of a step; steps count from 1."""
        return batch_of_step(self._ids, step, self._settings.batch_size, self._seed)

    def begin(self, batch: Sequence[int]) -> None:
        """Nothing: the loss of a pair does not depend on others."""

    def tokens(self, place: int) -> TokenGroup:
        """The pair as the policy reads it."""
        return self._pairs[place].tokens

    def losses(self, places: Sequence[int]) -> tuple[Tensor, list[SeenPair]]:
        """The weighted loss of each of these pairs, and what its facts need."""
        groups = [self._pairs[i].tokens for i in places]
        differences = [pair.difference for pair in (self._pairs[i] for i in places) if pair.difference is not None]
        places_B = torch.tensor(places, device=self._device)
        pairs = Pairs(
            policy_B2=response_log_probs(self._policy.log_probs(groups), groups),
            p_chosen_B=torch.tensor([self._pairs[i].p_chosen for i in places], device=self._device),
            reference_B2=None if self._reference_M2 is None else self._reference_M2[places_B],
            lengths_B2=torch.tensor([group.lengths for group in groups], dtype=torch.float32, device=self._device),
            differences_B=torch.tensor(differences, device=self._device) if differences else None,
        )
        losses_B, columns_B5 = weighted_losses(self._loss, pairs, self._weights_M[places_B])
        return losses_B, [SeenPair(*row) for row in columns_B5.tolist()]

    def facts(self, seen: Sequence[SeenPair], grad_norm: float, learning_rate: float) -> DpoFacts:
        """The facts of an update on these pairs."""
        return dpo_facts(seen, grad_norm, learning_rate)


def weighted_losses(loss: PairLoss, pairs: Pairs, weights_B: Tensor) -> tuple[Tensor, Tensor]:
    """The loss of each of B pairs times its weight; and the fields of `SeenPair`, B × 5, without a gradient."""
    losses_B = weights_B * loss.losses(pairs)
    with torch.no_grad():
        margins_B = margins(loss.rewards(pairs))
    policy_B2 = pairs.policy_B2.detach()
    columns = (losses_B.detach(), margins_B, policy_B2[:, 0], policy_B2[:, 1], pairs.p_chosen_B)
    return losses_B, torch.stack(columns, dim=1)


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
    compared = _with_differences(pairs, settings)
    labelled = compared if settings.labels == "soft" else hard(compared)
    longest = min(settings.max_length, policy.base.context_window)
    encoded, reasons = pack_pairs(policy, labelled, longest)
    if len(labelled) < len(compared):
        reasons = {"a tie has no hard label": len(compared) - len(labelled), **reasons}
    if len(compared) < len(pairs):
        reasons = {"its row does not have the scores of both responses": len(pairs) - len(compared), **reasons}
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


def _with_differences(pairs: Sequence[TrainingPair], settings: DpoSettings) -> list[TrainingPair]:
    """The pairs with what the loss takes for the difference between their responses; without those that lack it."""
    if settings.kind != "odpo":
        return [pair if pair.difference is None else dataclasses.replace(pair, difference=None) for pair in pairs]
    if settings.offset_from == "scores":
        return [pair for pair in pairs if pair.difference is not None]
    return [dataclasses.replace(pair, difference=2.0 * pair.p_chosen - 1.0) for pair in pairs]


def _about_trajectories(policy: Policy, pairs: Sequence[PackedPair]) -> list[str]:
    """A note where trajectories are learned otherwise than a chat server would show them."""
    trajectories = any(pair.tokens.learned is not None for pair in pairs)
    changed = rewritten(policy.base.tokenizer) if trajectories else ""
    return [rewritten_note(changed)] if changed else []
