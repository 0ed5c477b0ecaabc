"""What tests of the RL core share: a tiny policy that differs from its reference, and the gradients it is taught."""

from collections.abc import Generator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor
from torch.optim.optimizer import register_optimizer_step_pre_hook

from conftest import make_model, prompt
from preceptor.core.types import Prompt
from preceptor.training.policy import Policy, ResponseGroup
from preceptor.training.processes import Processes
from preceptor.training.rl.algorithm import make_algorithm
from preceptor.training.rl.facts import UpdateFacts
from preceptor.training.rl.settings import RLSettings, needs_values
from preceptor.training.rl.update import Updater
from preceptor.training.tuning import TuningSettings

Rewards = list[list[float | None]]

PROMPTS = [prompt(text) for text in ("a", "bb", "ccc", "dddd")]
LORA = TuningSettings(rank=4, alpha=8)
FULL = TuningSettings(method="full")

VARIANTS: dict[str, dict[str, Any]] = {
    "reinforce": {"algorithm": "reinforce"},
    "reinforce value": {"algorithm": "reinforce", "baseline": "value"},
    "rloo": {"algorithm": "rloo"},
    "grpo": {"algorithm": "grpo", "kl_in": "loss"},
    "grpo unbiased": {"algorithm": "grpo", "length_unbiased": True, "scale_advantages": False},
    "ppo": {"algorithm": "ppo"},
    "online_dpo": {"algorithm": "online_dpo", "group_size": 2},
}
"""Every algorithm and form of one."""


def settings_of(variant: str, **more: Any) -> RLSettings:
    """Gradients are not clipped, so that they can be compared."""
    known: dict[str, Any] = {"group_size": 3, "max_new_tokens": 6, "prompts_per_step": 4, "max_grad_norm": 1e9}
    return RLSettings(**(known | VARIANTS[variant] | more))


def policy_for(settings: RLSettings, tuning: TuningSettings = LORA, dtype: torch.dtype = torch.float32) -> Policy:
    """A policy that has moved away from its reference; the same every time."""
    policy = Policy(make_model(dtype=dtype), tuning, seed=0, values=needs_values(settings))
    torch.manual_seed(1)
    for parameter in policy.trainable:
        parameter.data.add_((0.1 if tuning.method == "lora" else 0.03) * torch.randn_like(parameter))
    return policy


def sampled(policy: Policy, settings: RLSettings, prompts: Sequence[Prompt] = PROMPTS) -> list[ResponseGroup]:
    """A step's groups; a prompt's responses are the same whatever stands beside it. Some are cut, to differ in length:
    the tiny model hardly ever ends by itself.
    """
    seeds = [sum(p.id.encode()) for p in prompts]
    groups = policy.sample(prompts, settings.group_size, settings.max_new_tokens, settings.temperature, seeds)
    for index, group in enumerate(groups):
        cut = tuple(ids[: 1 + sum(ids) % len(ids)] for ids in group.tokens.responses)
        groups[index] = replace(group, tokens=replace(group.tokens, responses=cut))
    return groups


def some_rewards(groups: Sequence[ResponseGroup]) -> Rewards:
    """Any rewards, of the responses alone, about one in five missing."""
    sums = [[sum(ids) for ids in group.tokens.responses] for group in groups]
    return [[None if total % 5 == 0 else total % 7 / 3.0 for total in row] for row in sums]


@dataclass(frozen=True)
class Taken:
    """The gradient of one step of an optimiser, and what it was the gradient at."""

    gradient: Tensor
    weights: list[Tensor]


@contextmanager
def steps_taken() -> Generator[list[Taken]]:
    """Collects every step that an optimiser takes inside."""
    taken: list[Taken] = []

    def keep(optimizer: torch.optim.Optimizer, *_: Any) -> None:
        parameters: list[Tensor] = [p for group in optimizer.param_groups for p in group["params"]]
        gradients = [p.grad if p.grad is not None else torch.zeros_like(p) for p in parameters]
        taken.append(
            Taken(torch.cat([g.flatten() for g in gradients]).clone(), [p.detach().clone() for p in parameters])
        )

    handle = register_optimizer_step_pre_hook(keep)
    try:
        yield taken
    finally:
        handle.remove()


def taught(
    policy: Policy, settings: RLSettings, groups: Sequence[ResponseGroup], rewards: Rewards
) -> tuple[UpdateFacts, list[Taken]]:
    """One update, and the steps it took."""
    updater = Updater(policy, make_algorithm(settings), settings, Processes())
    with steps_taken() as taken:
        facts = updater.update(groups, rewards)
    return facts, taken
