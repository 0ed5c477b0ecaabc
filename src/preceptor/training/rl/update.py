"""Learning from one batch of rewarded responses."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import torch
from torch import Tensor

from preceptor.backends.transformers.cores import side_by_side
from preceptor.core.hashing import unit_hash
from preceptor.core.types import JsonObject
from preceptor.objectives.policy_gradient import sequence_sums
from preceptor.training.gradients import accumulate, parts_to_learn
from preceptor.training.memory import memory_for
from preceptor.training.optimizer import Optimizer, Stepped
from preceptor.training.policy import FOR_LESS_MEMORY, Policy, ResponseGroup
from preceptor.training.processes import Processes
from preceptor.training.rl.algorithm import Algorithm
from preceptor.training.rl.batch import Batch, Part, Targets
from preceptor.training.rl.facts import UpdateFacts
from preceptor.training.rl.rewards import TurnScores
from preceptor.training.rl.settings import RLSettings, needs_values
from preceptor.training.rl.turn_credit import credited_turns
from preceptor.training.state import TorchState

CPU_TOKENS, CUDA_TOKENS = 2048, 16384
"""Most tokens whose graph is kept at once; a token of a model with 135M parameters takes about 0.9 MB."""
KL_GAIN = 0.1
"""Gain of the controller that adapts β (Ziegler et al. 2019, section 2.2)."""


@dataclass(frozen=True)
class _Tokens:
    """The tokens of groups under the policy: log-probabilities; values, if there is a value head; entropies, if they
    are rewarded.
    """

    log_probs_N: Tensor
    values_N: Tensor | None
    entropies_N: Tensor | None


class Updater:
    """Optimiser, algorithm and β of one policy.

    Raises: UsageError when the settings do not suit the algorithm.
    """

    def __init__(self, policy: Policy, algorithm: Algorithm, settings: RLSettings, processes: Processes) -> None:
        self._policy = policy
        self._algorithm = algorithm
        self._settings = settings
        self._processes = processes
        self._beta = settings.kl_coefficient
        self._device = policy.base.model.device
        self._tokens_at_once = CUDA_TOKENS if self._device.type == "cuda" else CPU_TOKENS
        self._optimizer = Optimizer(policy.trainable, settings, settings.steps, processes)

    def update(
        self,
        groups: Sequence[ResponseGroup],
        rewards: Sequence[Sequence[float | None]],
        turns: Mapping[str, TurnScores] | None = None,
    ) -> UpdateFacts:
        """Learns from a batch, and adapts β if the settings say so.

        Args:
            groups: this process's part of the step's P groups of G responses, sampled from the current policy.
            rewards: rewards of the whole step, P × G; None or a number that is not finite abstains.
            turns: scores of the turns of the whole step, by source.

        Raises: PreceptorError when training diverges or the memory does not suffice.
        """
        settings = self._settings
        known = [[r if r is not None and math.isfinite(r) else math.nan for r in row] for row in rewards]
        rewards_PG = torch.tensor(known, dtype=torch.float32, device=self._device)
        mine = self._processes.part(range(len(rewards)))  # the indices of this process's groups in the step

        # With one update of a small batch the graph is reused, since old and new log-probabilities are the same.
        parts = self._parts(groups, range(len(groups)))
        small = sum(self._policy.size(group.tokens) for group in groups) <= self._tokens_at_once
        once = small and settings.epochs_per_batch * settings.minibatches * settings.gradient_accumulation_steps == 1
        with torch.set_grad_enabled(once):
            passes = list(side_by_side(self._device, lambda part: self._forward([groups[i] for i in part]), parts))
        kept = {part[0]: tokens for part, tokens in zip(parts, passes, strict=True)}
        batch = self._whole_batch(groups, passes, rewards_PG, list((turns or {}).values()))
        targets = self._algorithm.targets(batch)

        taken: list[tuple[float, Stepped]] = []
        minibatches = [m for epoch in range(settings.epochs_per_batch) for m in self._minibatches(len(rewards), epoch)]
        for number, minibatch in enumerate(minibatches, start=1):
            learned = [place - mine[0] for place in mine if place in minibatch]
            size = len(minibatch) * rewards_PG.shape[1]

            def loss_of(part: Sequence[int], size: int = size) -> tuple[Tensor, float]:
                tokens = kept[part[0]] if once else self._forward([groups[i] for i in part])
                of_batch = self._part([mine[0] + i for i in part], tokens, batch, targets)
                losses_B = self._algorithm.losses(of_batch)
                if tokens.entropies_N is not None:
                    entropies_B = of_batch.sums(tokens.entropies_N) / of_batch.mean_length
                    losses_B = losses_B - settings.entropy_coefficient * entropies_B
                loss = losses_B.sum() / size
                return loss, float(loss.detach())

            with memory_for("a backward pass", FOR_LESS_MEMORY):
                losses = accumulate(
                    loss_of, self._parts(groups, learned), self._policy.trainable, one_by_one=self._policy.recomputes
                )
            loss = sum(self._processes.gather(losses))
            where = f"step {self._policy.step + 1}"
            taken.append((loss, self._optimizer.step(loss, where, advance=number == len(minibatches))))
        facts = self._facts(groups, batch, targets, taken, passes)
        self._adapt(facts.kl)
        return facts

    def state(self) -> TorchState:
        """What the next step needs besides the policy's weights, as tensors and numbers, for torch to save."""
        return self._optimizer.state()

    def extra(self) -> JsonObject:
        """The rest of the state, for JSON."""
        return {"algorithm": {**self._algorithm.state()}, "kl_coefficient": self._beta}

    def load(self, state: TorchState, extra: JsonObject) -> None:
        """Restores what `state` and `extra` returned."""
        self._optimizer.load_state(state)
        kept: dict[str, Any] = extra
        self._algorithm.load_state(kept["algorithm"])
        self._beta = float(kept["kl_coefficient"])

    def _parts(self, groups: Sequence[ResponseGroup], chosen: Sequence[int]) -> list[Sequence[int]]:
        """Divides groups, given by their indices, into parts whose graphs fit in memory."""
        runs = _split(chosen, self._settings.gradient_accumulation_steps)
        return [
            run[part.start : part.stop]
            for run in runs
            for part in parts_to_learn(
                [self._policy.size(groups[i].tokens) for i in run], self._tokens_at_once, self._device
            )
        ]

    def _forward(self, groups: Sequence[ResponseGroup]) -> _Tokens:
        tokens = [group.tokens for group in groups]
        settings = self._settings
        computed = self._policy.forward(tokens, settings.temperature, entropies=settings.entropy_coefficient > 0)
        values_N = self._policy.values(computed.hidden_NH) if needs_values(settings) else None
        return _Tokens(computed.log_probs_N, values_N, computed.entropies_N)

    def _whole_batch(
        self,
        groups: Sequence[ResponseGroup],
        passes: Sequence[_Tokens],
        rewards_PG: Tensor,
        turns: Sequence[TurnScores],
    ) -> Batch:
        """The whole step, gathered from all processes."""
        device = rewards_PG.device
        tokens = [group.tokens for group in groups]
        gather = self._processes.gather
        log_probs = gather([part.log_probs_N.detach().cpu() for part in passes])
        reference = gather(
            [self._policy.reference_log_probs(tokens, self._settings.temperature).cpu()] if tokens else []
        )
        values = gather([part.values_N.detach().cpu() for part in passes if part.values_N is not None])
        lengths = gather([length for group in tokens for length in group.lengths])
        turn_lengths_BK = gather([lengths for group in tokens for lengths in group.turn_lengths]) if turns else []
        return Batch(
            rewards_PG=rewards_PG,
            valid_PG=~rewards_PG.isnan(),
            lengths_B=torch.tensor(lengths, device=device),
            old_log_probs_N=torch.cat(log_probs).to(device),
            reference_log_probs_N=torch.cat(reference).to(device),
            values_N=torch.cat(values).to(device) if values else None,
            kl_penalty=self._beta if self._settings.kl_in == "reward" else 0.0,
            turns=credited_turns(turn_lengths_BK, turns, ~rewards_PG.isnan()) if turns else None,
            sampler_log_probs_N=self._sampler_log_probs(groups, device),
        )

    def _sampler_log_probs(self, groups: Sequence[ResponseGroup], device: torch.device) -> Tensor | None:
        """Of all tokens of the whole step, as they were sampled; None unless the settings ask for them.

        Raises: ValueError where a sampler has not kept them.
        """
        if self._settings.truncated_importance is None:
            return None
        if any(group.tokens.sampler_log_probs is None for group in groups):
            raise ValueError("rl.truncated_importance needs a policy made with sampler_log_probs=True")
        said = [row for group in groups for row in group.tokens.sampler_log_probs or ()]
        return torch.tensor([x for row in self._processes.gather(said) for x in row], device=device)

    def _part(self, places: Sequence[int], now: _Tokens, batch: Batch, targets: Targets) -> Part:
        """The batch's numbers for the groups at the given indices, in order, with those of the current policy."""
        group_size = batch.rewards_PG.shape[1]
        rows = torch.tensor(list(places), device=batch.rewards_PG.device)
        of_N = torch.isin(batch.response_of_N // group_size, rows)
        return Part(
            log_probs_N=now.log_probs_N,
            values_N=now.values_N,
            old_log_probs_N=batch.old_log_probs_N[of_N],
            old_values_N=None if batch.values_N is None else batch.values_N[of_N],
            reference_log_probs_N=batch.reference_log_probs_N[of_N],
            advantages_N=targets.advantages_N[of_N],
            returns_N=None if targets.returns_N is None else targets.returns_N[of_N],
            rewards_PG=batch.rewards_PG[rows],
            valid_PG=batch.valid_PG[rows],
            lengths_B=batch.lengths_B.view(-1, group_size)[rows].flatten(),
            mean_length=float(batch.lengths_B.float().mean()),
            kl_in_loss=self._beta if self._settings.kl_in == "loss" else 0.0,
            turn_lengths_K=None if batch.turns is None else batch.turns.lengths_K[of_N[batch.turns.starts_K]],
            sampler_log_probs_N=None if batch.sampler_log_probs_N is None else batch.sampler_log_probs_N[of_N],
        )

    def _minibatches(self, prompts: int, epoch: int) -> list[list[int]]:
        """Indices of prompts, divided anew in every pass; each part is in ascending order."""
        if self._settings.minibatches == 1:
            return [list(range(prompts))]
        order = sorted(range(prompts), key=lambda place: unit_hash(self._policy.step, epoch, place))
        return [sorted(part) for part in _split(order, self._settings.minibatches)]

    def _adapt(self, kl: float) -> None:
        """Raises β if the KL is above its target and lowers it if it is below, by at most 2 % a step."""
        if self._settings.kl_target is not None:
            error = max(-0.2, min(0.2, kl / self._settings.kl_target - 1.0))
            self._beta *= 1.0 + KL_GAIN * error

    def _facts(
        self,
        groups: Sequence[ResponseGroup],
        batch: Batch,
        targets: Targets,
        taken: Sequence[tuple[float, Stepped]],
        passes: Sequence[_Tokens],
    ) -> UpdateFacts:
        finished = self._processes.gather([response.finished for group in groups for response in group.responses])
        known = batch.rewards_PG[batch.valid_PG].double()
        advantages_B = sequence_sums(targets.advantages_N.abs(), batch.response_of_N, len(batch.lengths_B))
        return UpdateFacts(
            reward=float(known.mean()) if len(known) else None,
            reward_std=float(known.std(correction=0)) if len(known) else None,
            kl=float(batch.kl_PG.mean()),
            kl_coefficient=self._beta,
            tokens=float(batch.lengths_B.float().mean()),
            finished=sum(finished) / len(finished),
            abstained=batch.rewards_PG.numel() - len(known),
            flat_groups=int((advantages_B.view(batch.rewards_PG.shape).sum(dim=1) == 0.0).sum()),
            loss=sum(loss for loss, _ in taken) / len(taken),
            grad_norm=max(stepped.grad_norm for _, stepped in taken),
            learning_rate=taken[-1][1].learning_rate,
            objective=self._objective_facts(batch, passes),
        )

    def _objective_facts(self, batch: Batch, passes: Sequence[_Tokens]) -> dict[str, float]:
        """The facts of what the settings add to the loss; none if they add nothing."""
        facts: dict[str, float] = {}
        if self._settings.entropy_coefficient:
            sums = [float(part.entropies_N.detach().sum()) for part in passes if part.entropies_N is not None]
            facts["entropy"] = sum(self._processes.gather(sums)) / float(batch.lengths_B.sum())
        most, sampler_N = self._settings.truncated_importance, batch.sampler_log_probs_N
        if most is not None and sampler_N is not None:
            log_ratios_N = batch.old_log_probs_N - sampler_N
            facts["sampler_gap"] = float(log_ratios_N.abs().mean())
            facts["truncated"] = float((log_ratios_N > math.log(most)).float().mean())
        return facts


T = TypeVar("T")


def _split(items: Sequence[T], parts: int) -> list[Sequence[T]]:
    """Divides items, in order, into parts whose sizes differ by at most one; no part is empty."""
    count = min(parts, len(items))
    return [items[len(items) * i // count : len(items) * (i + 1) // count] for i in range(count)]
