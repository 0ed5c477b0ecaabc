"""Every algorithm finds what a known reward asks for, and stops where the KL penalty holds it."""

from typing import Any

import pytest
import torch

from conftest import make_model
from preceptor.objectives.entropy import token_entropies
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
    average = settled(settings, prompts)
    tilted = torch.softmax(REFERENCE + reward_counts * ARMS / beta, dim=0)
    assert distance(REFERENCE.exp(), tilted) > 0.3
    assert distance(average, tilted) < 0.02


@pytest.mark.parametrize(
    "variant",
    [
        {"algorithm": "rloo", "loss": "dapo"},
        {"algorithm": "grpo", "scale_advantages": False, "loss": "dapo", "clip_range_high": 0.28},
        {"algorithm": "rloo", "loss": "cispo", "clip_range_high": 3.0},
        {"algorithm": "grpo", "scale_advantages": False, "loss": "cispo", "clip_range_high": 3.0},
        {"algorithm": "rloo", "loss": "gspo"},
        {"algorithm": "grpo", "scale_advantages": False, "loss": "gspo"},
    ],
)
def test_every_loss_finds_the_tilted_reference_in_two_updates_of_a_batch(variant: dict[str, Any]) -> None:
    settings = RLSettings(**variant, kl_coefficient=0.5, max_new_tokens=1, epochs_per_batch=2)
    assert distance(settled(settings, 64, steps=150), torch.softmax(REFERENCE + ARMS / 0.5, dim=0)) < 0.03


@pytest.mark.parametrize("weight", [0.4, 1.0])
def test_with_a_reward_for_entropy_the_optimum_is_the_tempered_softmax(weight: float) -> None:
    """π* = exp(r / c) / Z, and no reference is in it."""
    settings = RLSettings(kl_coefficient=0.0, entropy_coefficient=weight, max_new_tokens=1)
    assert distance(settled(settings, 64), torch.softmax(ARMS / weight, dim=0)) < 0.02


def test_what_another_policy_sampled_leads_to_the_same_optimum_once_it_is_weighted() -> None:
    """The sampler prefers some arms by more than the learner does. Unweighted, they lead elsewhere."""
    optimum, shift = torch.softmax(ARMS / 0.5, dim=0), torch.tensor([-0.6, 0.6, 0.3, 0.6, -0.6])
    known = {"kl_coefficient": 0.0, "entropy_coefficient": 0.5, "max_new_tokens": 1}
    weighted, plain = (
        settled(RLSettings.model_validate(known | {"truncated_importance": most}), 64, shift=shift)
        for most in (10.0, None)
    )
    assert distance(weighted, optimum) < 0.02
    assert distance(plain, optimum) > 0.1


ARMS = torch.tensor([1.0, 0.0, 0.5, -1.0, 0.8])
"""The rewards of five tokens, each of which is a whole response."""
REFERENCE = torch.log_softmax(torch.tensor([-1.0, 1.0, 0.0, 0.5, 0.2]), dim=0)


def settled(settings: RLSettings, prompts: int, *, steps: int = 300, shift: torch.Tensor | None = None) -> torch.Tensor:
    """The mean policy over the last third of a training from the reference.

    Args:
        shift: what is added to the logits of the policy that samples.
    """
    algorithm, beta, size = make_algorithm(settings), settings.kl_coefficient, settings.group_size
    table = REFERENCE.clone().requires_grad_()
    optimizer = torch.optim.Adam([table], lr=0.03)
    generator = torch.Generator().manual_seed(0)
    average = torch.zeros(5)
    for step in range(steps):
        now = torch.log_softmax(table, dim=0).detach()
        said = now if shift is None else torch.log_softmax(now + shift, dim=0)
        taken_PG = torch.multinomial(said.exp(), prompts * size, replacement=True, generator=generator).view(-1, size)
        taken_N, ones_B = taken_PG.flatten(), torch.ones(prompts * size, dtype=torch.int64)
        valid_PG = torch.ones_like(taken_PG, dtype=torch.bool)
        in_reward, in_loss = (beta, 0.0) if settings.kl_in == "reward" else (0.0, beta)
        batch = Batch(ARMS[taken_PG], valid_PG, ones_B, now[taken_N], REFERENCE[taken_N], None, in_reward)
        advantages_N = algorithm.targets(batch).advantages_N
        for _ in range(settings.updates_per_step):
            log_probs = torch.log_softmax(table, dim=0)
            part = Part(
                log_probs[taken_N], None, now[taken_N], None, REFERENCE[taken_N], advantages_N, None, batch.rewards_PG,
                valid_PG, ones_B, mean_length=1.0, kl_in_loss=in_loss, sampler_log_probs_N=said[taken_N],
            )  # fmt: skip
            optimizer.zero_grad()
            entropy = token_entropies(table[None]).mean()
            (algorithm.losses(part).mean() - settings.entropy_coefficient * entropy).backward()
            optimizer.step()
        average += 3 * now.exp() / steps if step >= steps * 2 // 3 else 0.0
    return average


def distance(p: torch.Tensor, q: torch.Tensor) -> float:
    """Total variation."""
    return float((p - q).abs().sum()) / 2
