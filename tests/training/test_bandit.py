"""Every algorithm finds what a known reward asks for, and stops where the KL penalty holds it."""

from typing import Any

import pytest
import torch

from conftest import make_model
from preceptor.training.policy import Policy, ResponseGroup
from preceptor.training.processes import Processes
from preceptor.training.rl.algorithm import make_algorithm
from preceptor.training.rl.batch import Batch, Part
from preceptor.training.rl.settings import RLSettings, needs_values
from preceptor.training.rl.update import Updater
from rl_small import LORA, PROMPTS, VARIANTS

MORE: dict[str, dict[str, Any]] = {
    "ppo": {"epochs_per_batch": 2, "minibatches": 2},
    "online_dpo": {"kl_coefficient": 0.1, "prompts_per_step": 16},
}


def even(group: ResponseGroup) -> list[float]:
    """The share of tokens with an even id, 1 at best."""
    return [sum(token % 2 == 0 for token in ids) / len(ids) for ids in group.tokens.responses]


@pytest.mark.parametrize("variant", VARIANTS)
def test_the_reward_rises(variant: str) -> None:
    known: dict[str, Any] = {
        "group_size": 8, "max_new_tokens": 3, "prompts_per_step": 4, "learning_rate": 2e-2, "kl_coefficient": 0.01,
        "temperature": 1.0, "steps": 24,
    }  # fmt: skip
    settings = RLSettings(**(known | VARIANTS[variant] | MORE.get(variant, {})))
    scale = 8.0 if variant == "online_dpo" else 1.0  # of a judge's log-odds
    policy = Policy(make_model(), LORA, seed=0, values=needs_values(settings))
    updater = Updater(policy, make_algorithm(settings), settings, Processes())
    means: list[float] = []
    for step in range(settings.steps):
        prompts = PROMPTS * (settings.prompts_per_step // 4)
        seeds = [1000 * step + place for place in range(len(prompts))]
        groups = policy.sample(prompts, settings.group_size, settings.max_new_tokens, settings.temperature, seeds)
        shares = [even(group) for group in groups]
        updater.update(groups, [[scale * share for share in row] for row in shares])
        policy.step = step + 1
        means.append(sum(sum(row) for row in shares) / sum(len(row) for row in shares))
    assert means[0] < 0.5
    assert sum(means[-4:]) / 4 > 0.9


@pytest.mark.parametrize(
    ("variant", "kl_in", "reward_counts"),
    [
        ("rloo", "reward", 1.0),
        ("rloo", "loss", 1.0),
        ("reinforce", "reward", 1.0),
        ("reinforce", "loss", 1.0),
        ("grpo unbiased", "reward", 1.0),
        ("grpo unbiased", "loss", 3 / 4),  # each of four responses is in its own baseline, and the KL is not
        ("online_dpo", "reward", 1.0),
    ],
)
def test_under_a_kl_penalty_the_optimum_is_the_tilted_reference(variant: str, kl_in: str, reward_counts: float) -> None:
    """π* = π_ref exp(r / β) / Z, whatever the algorithm, for a single choice among five tokens."""
    size, beta, prompts = (2, 0.5, 128) if variant == "online_dpo" else (4, 0.5, 64)
    settings = RLSettings.model_validate(
        VARIANTS[variant] | {"group_size": size, "kl_coefficient": beta, "max_new_tokens": 1, "kl_in": kl_in}
    )
    algorithm = make_algorithm(settings)
    rewards = torch.tensor([1.0, 0.0, 0.5, -1.0, 0.8])
    reference = torch.log_softmax(torch.tensor([-1.0, 1.0, 0.0, 0.5, 0.2]), dim=0)
    table = reference.clone().requires_grad_()
    optimizer = torch.optim.Adam([table], lr=0.03)
    generator = torch.Generator().manual_seed(0)
    average = torch.zeros(5)
    for step in range(300):
        log_probs = torch.log_softmax(table, dim=0)
        now = log_probs.detach()
        taken_PG = torch.multinomial(now.exp(), prompts * size, replacement=True, generator=generator).view(-1, size)
        taken_N, ones_B = taken_PG.flatten(), torch.ones(prompts * size, dtype=torch.int64)
        valid_PG = torch.ones_like(taken_PG, dtype=torch.bool)
        in_reward, in_loss = (beta, 0.0) if kl_in == "reward" else (0.0, beta)
        batch = Batch(rewards[taken_PG], valid_PG, ones_B, now[taken_N], reference[taken_N], None, in_reward)
        advantages_N = algorithm.targets(batch).advantages_N
        part = Part(
            log_probs[taken_N], None, now[taken_N], None, reference[taken_N], advantages_N, None, batch.rewards_PG,
            valid_PG, ones_B, mean_length=1.0, kl_in_loss=in_loss,
        )  # fmt: skip
        optimizer.zero_grad()
        algorithm.losses(part).mean().backward()
        optimizer.step()
        average += now.exp() / 100 if step >= 200 else 0.0
    tilted = torch.softmax(reference + reward_counts * rewards / beta, dim=0)
    assert distance(reference.exp(), tilted) > 0.3
    assert distance(average, tilted) < 0.02


def distance(p: torch.Tensor, q: torch.Tensor) -> float:
    """Total variation."""
    return float((p - q).abs().sum()) / 2
