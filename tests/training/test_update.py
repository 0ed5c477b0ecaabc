"""One update: the same whatever the division into micro-batches; masked where there is no reward."""

import math
from collections.abc import Callable
from dataclasses import replace

import pytest
import torch

from conftest import make_model, prompt
from preceptor.core.errors import PreceptorError, UsageError
from preceptor.objectives.advantages import kl_penalised_rewards, leave_one_out_advantages
from preceptor.training.policy import Policy, ResponseGroup
from preceptor.training.processes import Processes
from preceptor.training.rl.algorithm import make_algorithm
from preceptor.training.rl.batch import Batch
from preceptor.training.rl.reinforce import Reinforce
from preceptor.training.rl.settings import RLSettings
from preceptor.training.rl.update import Updater
from preceptor.training.tuning import TuningSettings
from rl_small import steps_taken

REWARDS: list[list[float | None]] = [[1.0, 0.0, 0.5], [2.0, -1.0, 0.0], [0.3, 0.2, 0.1], [0.0, 0.0, 5.0]]


def make(settings: RLSettings) -> tuple[Policy, Updater, list[ResponseGroup]]:
    policy = Policy(make_model(), TuningSettings(rank=4), seed=0)
    torch.manual_seed(1)
    for parameter in policy.trainable:
        parameter.data.add_(0.1 * torch.randn_like(parameter))
    groups = policy.sample(
        [prompt(text) for text in ("a", "bb", "ccc", "dddd")], 3, 6, settings.temperature, [2, 3, 4, 5]
    )
    return policy, Updater(policy, make_algorithm(settings), settings, Processes()), groups


def weights(policy: Policy) -> torch.Tensor:
    return torch.cat([p.detach().flatten() for p in policy.trainable])


@pytest.mark.parametrize("parts", [2, 3, 4])
def test_gradient_accumulation_changes_nothing(parts: int) -> None:
    policy, updater, groups = make(RLSettings(learning_rate=1e-3))
    facts = updater.update(groups, REWARDS)
    other, other_updater, other_groups = make(RLSettings(learning_rate=1e-3, gradient_accumulation_steps=parts))
    other_facts = other_updater.update(other_groups, REWARDS)
    torch.testing.assert_close(weights(other), weights(policy), atol=2e-5, rtol=0)
    assert other_facts.kl == pytest.approx(facts.kl, abs=1e-5, rel=1e-5)
    assert other_facts.loss == pytest.approx(facts.loss, abs=1e-5, rel=1e-5)
    assert other_facts.grad_norm == pytest.approx(facts.grad_norm, rel=1e-4)


def masked(group: ResponseGroup) -> ResponseGroup:
    """The group with every third token, from the second on, written by somebody else."""
    learned = tuple(tuple(place % 3 != 1 for place in range(len(ids))) for ids in group.tokens.responses)
    return replace(group, tokens=replace(group.tokens, learned=learned))


@pytest.mark.parametrize("of_group", [lambda group: group, masked], ids=["all tokens", "learned tokens"])
def test_the_gradient_is_that_of_a_plain_computation(of_group: Callable[[ResponseGroup], ResponseGroup]) -> None:
    settings = RLSettings(learning_rate=1e-3, max_grad_norm=1e9, kl_coefficient=0.3)
    policy, _, groups = make(settings)
    groups = [of_group(group) for group in groups]
    kl = torch.tensor(policy.sequence_kl(groups, settings.temperature))
    rewards = kl_penalised_rewards(torch.tensor(REWARDS), kl, 0.3)
    advantages = leave_one_out_advantages(rewards, torch.ones(4, 3, dtype=torch.bool))
    loss = torch.zeros(())
    for group, row in zip(groups, advantages, strict=True):
        for response, advantage in enumerate(row):
            ids = group.tokens.responses[response]
            sequence = torch.tensor([[*group.tokens.prompt, *ids]])
            log_probs = torch.log_softmax(policy.model(sequence).logits[0] / settings.temperature, dim=-1)
            start = len(group.tokens.prompt)
            total = sum(log_probs[start + i - 1, ids[i]] for i in group.tokens.places(response))
            loss = loss - advantage * total / 12
    gradient = torch.cat([g.flatten() for g in torch.autograd.grad(loss, policy.trainable)])

    _, updater, groups = make(settings)
    facts = updater.update([of_group(group) for group in groups], REWARDS)
    assert facts.grad_norm == pytest.approx(float(gradient.norm()), rel=1e-4)
    assert facts.kl == pytest.approx(float(kl.mean()), abs=1e-5, rel=1e-5)


@pytest.mark.parametrize("missing", [None, math.nan, math.inf])
def test_a_response_without_a_reward_is_masked(missing: float | None) -> None:
    rewards = [[1.0, missing, 0.5], *REWARDS[1:]]
    policy, updater, groups = make(RLSettings(learning_rate=1e-3))
    facts = updater.update(groups, rewards)
    assert facts.abstained == 1
    assert facts.reward == pytest.approx(
        sum(r for row in rewards for r in row if r is not None and math.isfinite(r)) / 11
    )
    assert not weights(policy).isnan().any()


def test_without_any_reward_nothing_is_learnt() -> None:
    policy, updater, groups = make(RLSettings(learning_rate=1e-3))
    before = weights(policy)
    facts = updater.update(groups, [[None] * 3] * 4)
    assert (facts.reward, facts.reward_std, facts.abstained) == (None, None, 12)
    assert torch.equal(weights(policy), before)


@pytest.mark.parametrize("parts", [1, 3])
def test_entropy_is_rewarded_by_its_mean_over_all_tokens(parts: int) -> None:
    """The gradient is that of plain softmaxes, with the losses of RLOO."""
    settings = RLSettings(
        max_grad_norm=1e9, kl_coefficient=0.0, entropy_coefficient=0.7, gradient_accumulation_steps=parts
    )
    policy, updater, groups = make(settings)
    tokens = [group.tokens for group in groups]
    advantages = leave_one_out_advantages(torch.tensor(REWARDS), torch.ones(4, 3, dtype=torch.bool))
    computed = policy.forward(tokens, settings.temperature)
    sums = torch.stack([p.sum() for p in computed.log_probs_N.split([n for group in tokens for n in group.lengths])])
    head = policy.base.model.get_output_embeddings()
    log_shares = torch.log_softmax(head(computed.hidden_NH) / settings.temperature, dim=-1)
    entropy = -(log_shares.exp() * log_shares).sum(dim=-1).mean()
    loss = -(advantages.flatten() * sums).mean() - 0.7 * entropy
    expected = torch.cat([g.flatten() for g in torch.autograd.grad(loss, policy.trainable)])
    with steps_taken() as taken:
        facts = updater.update(groups, REWARDS)
    torch.testing.assert_close(taken[0].gradient, expected, atol=1e-5, rtol=1e-4)
    assert facts.numbers()["objective/entropy"] == pytest.approx(float(entropy.detach()), rel=1e-5)


def test_what_was_sampled_with_rounded_weights_is_weighted() -> None:
    """Log-probabilities of sampling that are 0.5 too low would weight tokens by 1.65, but for the bound of 1.5. The
    policy's own change nothing but rounding.
    """
    gradients: dict[float | None, torch.Tensor] = {}
    for lower in (None, 0.0, 0.5):
        known = {"algorithm": "grpo", "kl_coefficient": 0.0, "max_grad_norm": 1e9}
        settings = RLSettings.model_validate(known | ({} if lower is None else {"truncated_importance": 1.5}))
        policy, updater, groups = make(settings)
        for index, group in enumerate(groups if lower is not None else []):
            with torch.no_grad():
                of_response = policy.log_probs([group.tokens], settings.temperature).split(group.tokens.lengths)
            said = tuple(tuple((part - (lower or 0.0)).tolist()) for part in of_response)
            groups[index] = replace(group, tokens=replace(group.tokens, sampler_log_probs=said))
        with steps_taken() as taken:
            facts = updater.update(groups, REWARDS)
        gradients[lower] = taken[0].gradient
        assert facts.objective == (
            {} if lower is None else pytest.approx({"sampler_gap": lower, "truncated": lower * 2}, abs=1e-5)
        )
    assert float(gradients[None].norm()) > 1e-3
    torch.testing.assert_close(gradients[0.0], gradients[None], atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(gradients[0.5], 1.5 * gradients[None], atol=1e-5, rtol=1e-4)


def test_a_policy_that_does_not_keep_them_is_refused() -> None:
    _, updater, groups = make(RLSettings(truncated_importance=2.0))
    with pytest.raises(ValueError, match="sampler_log_probs=True"):
        updater.update(groups, REWARDS)


def test_a_policy_keeps_what_it_sampled_with() -> None:
    """In fp32 the merged weights are the policy's own but for rounding; what it samples is the same."""
    keeping = Policy(make_model(), TuningSettings(rank=4), seed=0, sampler_log_probs=True)
    plain, _, groups = make(RLSettings())
    keeping.load_weights(plain.weights(), step=0)
    asked = [group.prompt for group in groups]
    again = keeping.sample(asked, 3, 6, RLSettings().temperature, [2, 3, 4, 5])
    assert [group.tokens.responses for group in again] == [group.tokens.responses for group in groups]
    said = [x for group in again for row in group.tokens.sampler_log_probs or () for x in row]
    expected = keeping.log_probs([group.tokens for group in again], RLSettings().temperature)
    torch.testing.assert_close(torch.tensor(said), expected, atol=1e-4, rtol=1e-4)
    assert keeping.sample(asked[:1], 1, 6, 0.0, [2])[0].tokens.sampler_log_probs is None


def test_a_training_that_diverges_says_so() -> None:
    _, updater, groups = make(RLSettings().model_copy(update={"learning_rate": 1e30}))  # beyond what settings admit
    updater.update(groups, REWARDS)
    with pytest.raises(PreceptorError, match=r"training diverged at step 1: loss .*; lower the learning rate"):
        updater.update(groups, REWARDS)


def test_learning_rate_warms_up_and_falls() -> None:
    _, updater, groups = make(RLSettings(learning_rate=1.0, warmup_steps=2, steps=4, schedule="linear"))
    rates = [updater.update(groups, REWARDS).learning_rate for _ in range(4)]
    assert rates == pytest.approx([1 / 3 * 4 / 5, 2 / 3 * 3 / 5, 2 / 5, 1 / 5])


def batch(rewards: list[list[float]]) -> Batch:
    """Responses of one token each, at no KL."""
    rewards_PG = torch.tensor(rewards)
    zeros, ones = torch.zeros(rewards_PG.numel()), torch.ones(rewards_PG.numel(), dtype=torch.int64)
    return Batch(rewards_PG, ~rewards_PG.isnan(), ones, zeros, zeros, zeros, kl_penalty=0.1)


def test_reinforce_s_baseline_is_the_running_average() -> None:
    reinforce = Reinforce(RLSettings(algorithm="reinforce"))
    assert reinforce.targets(batch([[1.0, 3.0]])).advantages_N.tolist() == [-1.0, 1.0]  # the step's own mean, 2
    assert reinforce.targets(batch([[7.0, 7.0]])).advantages_N.tolist() == [5.0, 5.0]
    again = Reinforce(RLSettings(algorithm="reinforce"))
    again.load_state(reinforce.state())  # 0.9 · 2 + 0.1 · 7 = 2.5
    assert again.targets(batch([[2.5, 3.5]])).advantages_N.tolist() == [0.0, 1.0]


def test_reinforce_ignores_a_batch_without_rewards() -> None:
    reinforce = Reinforce(RLSettings(algorithm="reinforce"))
    assert reinforce.targets(batch([[math.nan, math.nan]])).advantages_N.tolist() == [0.0, 0.0]
    assert reinforce.state() == {"baseline": None}


def test_rloo_needs_siblings() -> None:
    with pytest.raises(UsageError, match="group_size is 1"):
        make_algorithm(RLSettings(algorithm="rloo", group_size=1))
    make_algorithm(RLSettings(algorithm="reinforce", group_size=1))
