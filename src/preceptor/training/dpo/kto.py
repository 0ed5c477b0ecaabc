"""KTO: trains a policy on responses by themselves."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from preceptor.objectives.preferences.kto import baseline_of
from preceptor.store.rated_responses import RatedResponse
from preceptor.store.training_pairs import TrainingPair
from preceptor.training.dpo.examples import Example, to_another_prompt, usable_examples
from preceptor.training.dpo.losses import kto_loss
from preceptor.training.dpo.reference import reference_log_probs, response_log_probs
from preceptor.training.dpo.settings import DpoSettings
from preceptor.training.dpo.updating import relative_weights, take_updates
from preceptor.training.packed import TokenGroup
from preceptor.training.policy import Policy
from preceptor.training.processes import Processes
from preceptor.training.steps import TrainingContext


@dataclass(frozen=True)
class KtoFacts:
    """The facts of an update, as far as its examples show them. They contain no times."""

    loss: float
    """Mean loss over the examples."""
    baseline: float | None
    """Mean of log π - log π_ref over responses to other prompts, at least 0, in nats: what a response is compared
    with."""
    margin: float | None
    """Mean implicit reward of desirable responses minus that of undesirable ones."""
    chosen_log_prob: float | None
    """Mean log-probability of the desirable responses, in nats."""
    rejected_log_prob: float | None
    grad_norm: float
    learning_rate: float


@dataclass(frozen=True)
class SeenExample:
    """One response in an update."""

    loss: float
    reward: float
    """β (log π - log π_ref)."""
    log_prob: float
    """In nats."""
    desirable: float


def train_kto(
    policy: Policy,
    pairs: Sequence[TrainingPair],
    rated: Sequence[RatedResponse],
    settings: DpoSettings,
    context: TrainingContext,
    *,
    on_step: Callable[[int, int, KtoFacts], None],
    on_note: Callable[[str], None],
) -> int:
    """Trains the policy on the responses of pairs and of rows, as `train_dpo` does on pairs.

    Returns: the number of finished steps.
    Raises: UsageError when no response is usable; PreceptorError when training diverges or memory does not suffice.
    """
    note = on_note if context.processes.is_main else lambda _: None
    examples = usable_examples(policy, pairs, rated, settings, context.seed, note)
    files = context.checkpoints.files
    context.processes.on_main(files.prepare)
    groups = [example.tokens for example in examples]
    reference_M1 = reference_log_probs(policy, groups, files.root / "reference", context.processes)
    lessons = KtoLessons(policy, examples, reference_M1[:, 0], settings, context.processes)
    return take_updates(policy, lessons, settings, context, on_step=on_step)


class KtoLessons:
    """M responses and their loss. Every epoch has the same order, since each response is compared with others beside
    it.

    Args:
        reference_M: log-probability of each response under the reference.
    """

    def __init__(
        self,
        policy: Policy,
        examples: Sequence[Example],
        reference_M: Tensor,
        settings: DpoSettings,
        processes: Processes,
    ) -> None:
        self._policy = policy
        self._examples = examples
        self._device: torch.device = policy.base.model.device
        self._reference_M = reference_M.to(self._device)
        self._weights_M = relative_weights([example.weight for example in examples], self._device)
        self._loss = kto_loss(settings)
        self._settings = settings
        self._processes = processes
        self._baseline = 0.0

    @property
    def steps(self) -> int:
        """Updates of the whole training."""
        return steps_of(len(self._examples), self._settings)

    def batch(self, step: int) -> list[int]:
        """The examples of a step; steps count from 1."""
        size, count = 2 * self._settings.batch_size, len(self._examples)
        start = (step - 1) % math.ceil(count / size) * size
        return list(range(start, min(start + size, count)))

    def begin(self, batch: Sequence[int]) -> None:
        """Estimates the baseline of a batch: each prompt of it is followed by another one's response."""
        examples = [self._examples[i] for i in batch]
        groups = [to_another_prompt(examples, place).after(example.prompt) for place, example in enumerate(examples)]
        mine = self._processes.part(groups)
        self._baseline = baseline_of(self._processes.gather(self._log_ratios(mine) if mine else []))

    def tokens(self, place: int) -> TokenGroup:
        """The response as the policy reads it."""
        return self._examples[place].tokens

    def losses(self, places: Sequence[int]) -> tuple[Tensor, list[SeenExample]]:
        """The weighted loss of each of these responses, and what its facts need."""
        groups = [self._examples[i].tokens for i in places]
        places_B = torch.tensor(places, device=self._device)
        desirable_B = torch.tensor([self._examples[i].desirable for i in places], device=self._device)
        policy_B = response_log_probs(self._policy.log_probs(groups), groups)[:, 0]
        log_ratios_B = policy_B - self._reference_M[places_B]
        losses_B = self._weights_M[places_B] * self._loss.losses(log_ratios_B, desirable_B, self._baseline)
        columns = (losses_B.detach(), self._settings.beta * log_ratios_B.detach(), policy_B.detach(), desirable_B)
        return losses_B, [SeenExample(*row) for row in torch.stack(columns, dim=1).tolist()]

    def facts(self, seen: Sequence[SeenExample], grad_norm: float, learning_rate: float) -> KtoFacts:
        """The facts of an update on these examples."""
        good, bad = [each for each in seen if each.desirable > 0.5], [each for each in seen if each.desirable < 0.5]
        return KtoFacts(
            loss=sum(each.loss for each in seen) / len(seen),
            baseline=self._baseline,
            margin=_mean([each.reward for each in good], [-each.reward for each in bad]),
            chosen_log_prob=_mean([each.log_prob for each in good]),
            rejected_log_prob=_mean([each.log_prob for each in bad]),
            grad_norm=grad_norm,
            learning_rate=learning_rate,
        )

    @torch.no_grad()
    def _log_ratios(self, groups: Sequence[TokenGroup]) -> list[float]:
        ratios_N = self._policy.log_probs(groups) - self._policy.reference_log_probs(groups)
        return response_log_probs(ratios_N, groups)[:, 0].tolist()


def steps_of(examples: int, settings: DpoSettings) -> int:
    """Updates of a training on so many examples."""
    return settings.epochs * math.ceil(examples / (2 * settings.batch_size))


def _mean(*parts: Sequence[float]) -> float | None:
    """The sum of the parts' means; None if one is empty."""
    return sum(sum(part) / len(part) for part in parts) if all(parts) else None
