"""One update of the policy from one batch of rewarded responses."""

import math
from collections.abc import Sequence
from typing import Any

import torch
from accelerate import Accelerator
from torch import Tensor
from torch.optim.lr_scheduler import LambdaLR

from preceptor.core.errors import PreceptorError
from preceptor.objectives.advantages import kl_penalised_rewards
from preceptor.objectives.policy_gradient import sequence_sums
from preceptor.training.policy import Policy, ResponseGroup
from preceptor.training.rl.algorithm import Algorithm
from preceptor.training.rl.facts import UpdateFacts
from preceptor.training.rl.settings import RLSettings


class Updater:
    """Optimiser, schedule and algorithm of one policy."""

    def __init__(self, policy: Policy, algorithm: Algorithm, settings: RLSettings) -> None:
        self._policy = policy
        self.algorithm = algorithm
        self._settings = settings
        self._accelerator = Accelerator(mixed_precision="no")
        optimizer = torch.optim.AdamW(policy.trainable, lr=settings.learning_rate, weight_decay=0.0)
        scheduler = LambdaLR(optimizer, lambda index: learning_rate_factor(index + 1, settings))
        policy.model, self.optimizer, self.scheduler = self._accelerator.prepare(policy.model, optimizer, scheduler)

    def update(self, groups_P: Sequence[ResponseGroup], rewards: list[list[float | None]]) -> UpdateFacts:
        """Updates the policy once.

        Args:
            groups_P: P prompts with G responses each, sampled from the policy as it is.
            rewards: P × G; None or a number that is not finite abstains.
        """
        device = self._accelerator.device
        known = [[r if r is not None and math.isfinite(r) else math.nan for r in row] for row in rewards]
        rewards_PG = torch.tensor(known, dtype=torch.float32, device=device)
        valid_PG = ~rewards_PG.isnan()
        parts = _split(groups_P, self._settings.gradient_accumulation_steps)
        counts = [sum(len(group.responses) for group in part) for part in parts]

        # With a single part its graph is kept and used again for the update: old and new log-probabilities are one.
        with torch.set_grad_enabled(len(parts) == 1):
            passes = [self._log_probs(part) for part in parts]
        old = [log_probs.detach() for log_probs in passes]
        kl_PG = self._kl(parts, old).view(rewards_PG.shape)
        penalised_PG = kl_penalised_rewards(rewards_PG, kl_PG, self._settings.kl_coefficient)
        advantages = self.algorithm.advantages(penalised_PG, valid_PG).flatten().split(counts)

        loss_sum = 0.0
        for part, first, old_B, advantages_B in zip(parts, passes, old, advantages, strict=True):
            log_probs_B = first if len(parts) == 1 else self._log_probs(part)
            loss = self.algorithm.loss(log_probs_B, old_B, advantages_B).sum() / sum(counts)
            self._accelerator.backward(loss)
            loss_sum += float(loss.detach())
        grad_norm = self._accelerator.clip_grad_norm_(self._policy.trainable, self._settings.max_grad_norm)
        if not math.isfinite(loss_sum + float(grad_norm or 0.0)):
            raise PreceptorError(
                f"training diverged at step {self._policy.step + 1}: loss {loss_sum}, gradient norm {grad_norm}; lower "
                "rl.learning_rate, or raise rl.kl_coefficient"
            )
        learning_rate = float(self.scheduler.get_last_lr()[0])
        self.optimizer.step()
        self.scheduler.step()
        self.optimizer.zero_grad()

        return _facts(groups_P, rewards_PG, kl_PG, loss_sum, float(grad_norm or 0.0), learning_rate)

    def state(self) -> dict[str, Any]:
        """Optimiser and schedule, as tensors and numbers."""
        return {"optimizer": self.optimizer.state_dict(), "scheduler": self.scheduler.state_dict()}

    def load_state(self, state: dict[str, Any]) -> None:
        """Takes back what `state` gave."""
        self.optimizer.load_state_dict(state["optimizer"])
        self.scheduler.load_state_dict(state["scheduler"])

    def _log_probs(self, part: Sequence[ResponseGroup]) -> Tensor:
        """Log-probability of each response of a part of the batch under the policy as it is."""
        groups = [group.tokens for group in part]
        return _by_response(part, self._policy.log_probs(groups, self._settings.temperature))

    def _kl(self, parts: Sequence[Sequence[ResponseGroup]], old: Sequence[Tensor]) -> Tensor:
        """Log π - log π_ref of each response of the batch."""
        temperature = self._settings.temperature
        reference = [
            _by_response(part, self._policy.reference_log_probs([group.tokens for group in part], temperature))
            for part in parts
        ]
        return torch.cat(list(old)) - torch.cat(reference)


def learning_rate_factor(step: int, settings: RLSettings) -> float:
    """What the peak learning rate is multiplied with at a step, counted from 1. No step is wasted on a rate of 0."""
    warm_up = min(1.0, step / (settings.warmup_steps + 1))
    left = (settings.steps + 1 - step) / (settings.steps + 1)
    decay = {"constant": 1.0, "linear": left, "cosine": 0.5 - 0.5 * math.cos(math.pi * left)}
    return warm_up * decay[settings.schedule]


def _facts(
    groups_P: Sequence[ResponseGroup],
    rewards_PG: Tensor,
    kl_PG: Tensor,
    loss: float,
    grad_norm: float,
    learning_rate: float,
) -> UpdateFacts:
    responses = [response for group in groups_P for response in group.responses]
    known = rewards_PG[~rewards_PG.isnan()]
    return UpdateFacts(
        reward=float(known.mean()) if len(known) else None,
        reward_std=float(known.std(correction=0)) if len(known) else None,
        kl=float(kl_PG.mean()),
        tokens=sum(r.tokens for r in responses) / len(responses),
        finished=sum(r.finished for r in responses) / len(responses),
        abstained=rewards_PG.numel() - len(known),
        loss=loss,
        grad_norm=grad_norm,
        learning_rate=learning_rate,
    )


def _by_response(part: Sequence[ResponseGroup], log_probs_N: Tensor) -> Tensor:
    lengths = [len(ids) for group in part for ids in group.tokens.responses]
    sequence_of_N = torch.repeat_interleave(torch.tensor(lengths, device=log_probs_N.device))
    return sequence_sums(log_probs_N, sequence_of_N, len(lengths))


def _split(groups: Sequence[ResponseGroup], parts: int) -> list[Sequence[ResponseGroup]]:
    size = math.ceil(len(groups) / parts)
    return [groups[start : start + size] for start in range(0, len(groups), size)]
