"""PPO and REINFORCE with a value head against a slow and plain computation, sequence by sequence and token by token."""

import math
from pathlib import Path

import pytest
import torch
from torch import Tensor

from preceptor.training.policy import Policy, ResponseGroup
from preceptor.training.rl.settings import PpoSettings, RLSettings
from rl_small import Rewards, policy_for, sampled, settings_of, some_rewards, taught

BETA = 0.3


def forward(policy: Policy, group: ResponseGroup, settings: RLSettings) -> list[tuple[list[Tensor], list[Tensor]]]:
    """For each response the log-probability of each token, and the value before it."""
    weight, bias = policy.trainable[-2:]  # the value head
    answers: list[tuple[list[Tensor], list[Tensor]]] = []
    for ids in group.tokens.responses:
        output = policy.model(torch.tensor([[*group.tokens.prompt, *ids]]), output_hidden_states=True)
        log_probs = torch.log_softmax(output.logits[0] / settings.temperature, dim=-1)
        hidden = output.hidden_states[-1][0]
        before = [len(group.tokens.prompt) + place - 1 for place in range(len(ids))]
        answers.append(
            (
                [log_probs[place, token] for place, token in zip(before, ids, strict=True)],
                [hidden[place] @ weight[0] + bias[0] for place in before],
            )
        )
    return answers


def advantages_of(rewards: list[float], values: list[float], gae_lambda: float) -> list[float]:
    """By the definition: A_t = Σ_k λ^k (r_{t+k} + V_{t+k+1} - V_{t+k})."""
    follows = [*values[1:], 0.0]
    surprises = [r + later - now for r, later, now in zip(rewards, follows, values, strict=True)]
    return [
        sum(gae_lambda**k * surprise for k, surprise in enumerate(surprises[start:])) for start in range(len(surprises))
    ]


def clipped(now: Tensor, old: float, advantage: float, clip: float) -> Tensor:
    ratio = torch.exp(now - old)
    return -torch.minimum(ratio * advantage, ratio.clamp(1 - clip, 1 + clip) * advantage)


def plain_loss(old: Policy, now: Policy, groups: list[ResponseGroup], rewards: Rewards, settings: RLSettings) -> Tensor:
    """The loss of a whole batch that `old` sampled, under the weights of `now`."""
    before: list[tuple[list[float], list[float], list[float], float | None]] = []
    new: list[tuple[list[Tensor], list[Tensor]]] = []
    for group, row in zip(groups, rewards, strict=True):
        with torch.no_grad():
            was = forward(old, group, settings)
            with old.as_reference():
                reference = forward(old, group, settings)
        new += forward(now, group, settings)
        for (log_probs, values), (reference_log_probs, _), reward in zip(was, reference, row, strict=True):
            kl = [float(p - r) for p, r in zip(log_probs, reference_log_probs, strict=True)]
            before.append(([float(p) for p in log_probs], [float(v) for v in values], kl, reward))

    ppo = settings.algorithm == "ppo"
    advantages: list[list[float]] = []
    returns: list[list[float]] = []
    for _, values, kl, reward in before:
        if ppo:
            token_rewards = [-BETA * each for each in kl]
            token_rewards[-1] += reward or 0.0
            advantages.append(advantages_of(token_rewards, values, settings.ppo.gae_lambda))
        else:
            advantages.append([(reward or 0.0) - BETA * sum(kl) - value for value in values])
        returns.append([a + v for a, v in zip(advantages[-1], values, strict=True)])
    if ppo:
        known = [a for row, (*_, reward) in zip(advantages, before, strict=True) if reward is not None for a in row]
        mean = sum(known) / len(known)
        deviation = math.sqrt(sum((a - mean) ** 2 for a in known) / (len(known) - 1))
        advantages = [[(a - mean) / deviation for a in row] for row in advantages]

    losses: list[Tensor] = []
    tokens = sum(len(old_log_probs) for old_log_probs, *_ in before) / len(before)
    for (log_probs, values), (old_log_probs, old_values, _, reward), a, r in zip(
        new, before, advantages, returns, strict=True
    ):
        loss = torch.zeros(())
        for t in range(len(log_probs)) if reward is not None else []:
            head = (values[t] - r[t]) ** 2
            if ppo:
                low, high = old_values[t] - settings.ppo.value_clip, old_values[t] + settings.ppo.value_clip
                head = torch.maximum(head, (values[t].clamp(low, high) - r[t]) ** 2)
            per = tokens if ppo else len(log_probs)
            loss = loss + clipped(log_probs[t], old_log_probs[t], a[t], settings.clip_range) / (tokens if ppo else 1)
            loss = loss + settings.ppo.value_coefficient * 0.5 * head / per
        losses.append(loss)
    return torch.stack(losses).mean()


@pytest.mark.parametrize("variant", ["ppo", "reinforce value"])
def test_two_updates_on_one_batch_equal_a_plain_computation(variant: str) -> None:
    settings = settings_of(
        variant, epochs_per_batch=2, learning_rate=2e-2, kl_coefficient=BETA, clip_range=0.1,
        ppo=PpoSettings(gae_lambda=0.7, value_coefficient=0.5, value_clip=0.05),
    )  # fmt: skip
    policy = policy_for(settings)
    groups = sampled(policy, settings)
    rewards = some_rewards(groups)
    assert len({len(ids) for group in groups for ids in group.tokens.responses}) > 3
    assert any(reward is None for row in rewards for reward in row)
    facts, taken = taught(policy, settings, groups, rewards)

    old, losses = policy_for(settings), list[float]()
    for step in taken:
        now = policy_for(settings)
        for parameter, weights in zip(now.trainable, step.weights, strict=True):
            parameter.data.copy_(weights)
        loss = plain_loss(old, now, groups, rewards, settings)
        gradient = torch.cat([g.flatten() for g in torch.autograd.grad(loss, now.trainable)])
        torch.testing.assert_close(step.gradient, gradient, atol=1e-5, rtol=1e-4)
        losses.append(float(loss.detach()))
    assert len(losses) == 2
    assert facts.loss == pytest.approx(sum(losses) / 2, abs=1e-5, rel=1e-5)
    assert abs(losses[1] - losses[0]) > 1e-3  # the second one is at other weights: ratios are not 1


@pytest.mark.parametrize("variant", ["ppo", "reinforce value"])
def test_the_value_head_learns_and_is_kept(variant: str, tmp_path: Path) -> None:
    settings = settings_of(variant, epochs_per_batch=2, minibatches=3, learning_rate=1e-2)
    policy = policy_for(settings)
    groups = sampled(policy, settings)
    head = policy.trainable[-2:]
    before = [tensor.detach().clone() for tensor in head]
    _, taken = taught(policy, settings, groups, some_rewards(groups))
    assert len(taken) == 6
    assert all(not torch.equal(a, b) for a, b in zip(before, head, strict=True))
    other = policy_for(settings)
    other.load_weights(policy.weights(), step=1)
    tokens = [group.tokens for group in groups]
    one, two = (policy_.forward(tokens, 1.0) for policy_ in (policy, other))
    assert torch.equal(one.log_probs_N, two.log_probs_N)
    values, of_other = policy.values(one.hidden_NH), other.values(two.hidden_NH)
    assert values is not None and of_other is not None and torch.equal(values, of_other)
    policy.save(tmp_path)  # a checkpoint is a language model: it has no value head, and leaves that of a policy alone
    fresh = policy_for(settings)
    fresh.load(tmp_path, step=1)
    assert torch.equal(fresh.log_probs(tokens), policy.log_probs(tokens))
    assert torch.equal(fresh.trainable[-2], policy_for(settings).trainable[-2])


def test_advantages_that_are_all_equal_teach_nothing() -> None:
    """Rounding is not news: whitening must not blow it up."""
    settings = settings_of("ppo", kl_coefficient=0, ppo=PpoSettings(gae_lambda=1.0))
    policy = policy_for(settings)
    for tensor in policy.trainable[-2:]:
        tensor.data.zero_()
    groups = sampled(policy, settings)
    facts, [step] = taught(policy, settings, groups, [[0.3] * 3] * 4)
    assert facts.flat_groups == 4
    bias = float(step.gradient[-1])  # of the head, which has something to learn: -0.3 · value_coefficient
    assert bias == pytest.approx(-0.03, abs=1e-6)
    assert not step.gradient[:-33].any()
