"""What must not change what is learnt: division, company, order, recomputation, precision."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor
from transformers import AutoModelForCausalLM

from conftest import make_model
from preceptor.training.files import RunFiles
from preceptor.training.packed import TokenGroup, packed_log_probs
from preceptor.training.policy import Policy
from preceptor.training.rl.facts import UpdateFacts
from preceptor.training.rl.settings import RLSettings
from preceptor.training.tuning import TuningSettings
from rl_small import (
    FULL,
    LORA,
    PROMPTS,
    VARIANTS,
    Rewards,
    Taken,
    policy_for,
    sampled,
    settings_of,
    some_rewards,
    taught,
)

GROUPS = [TokenGroup((5, 6, 7), ((10, 11, 12), (13,))), TokenGroup((20, 21), ((22, 23), (22, 24, 25)))]


def learnt(
    settings: RLSettings,
    tuning: TuningSettings = LORA,
    *,
    order: tuple[int, ...] = (0, 1, 2, 3),
    tokens_at_once: int | None = None,
) -> tuple[UpdateFacts, Tensor]:
    """What one update tells and its gradient."""
    policy = policy_for(settings, tuning)
    policy.base.tokens_at_once = tokens_at_once or policy.base.tokens_at_once
    groups = sampled(policy, settings, [PROMPTS[place] for place in order])
    facts, taken = taught(policy, settings, groups, some_rewards(groups))
    return facts, mean_gradient(taken)


def mean_gradient(taken: list[Taken]) -> Tensor:
    return torch.stack([step.gradient for step in taken]).mean(dim=0)


def same(one: tuple[UpdateFacts, Tensor], other: tuple[UpdateFacts, Tensor]) -> None:
    assert float(one[1].norm()) > 1e-2
    torch.testing.assert_close(one[1], other[1], atol=1e-5, rtol=1e-4)
    assert other[0].loss == pytest.approx(one[0].loss, abs=1e-5, rel=1e-5)
    assert other[0].kl == pytest.approx(one[0].kl, abs=1e-4)


@pytest.mark.parametrize("tuning", [LORA, FULL], ids=["lora", "full"])
@pytest.mark.parametrize("variant", VARIANTS)
def test_division_and_order_change_nothing(variant: str, tuning: TuningSettings) -> None:
    settings = settings_of(variant)
    whole = learnt(settings, tuning)
    same(whole, learnt(settings, tuning, order=(2, 0, 3, 1)))
    same(whole, learnt(settings_of(variant, gradient_accumulation_steps=3), tuning))
    # Minibatches of one size, between which the weights do not move: the mean of their gradients.
    divided = learnt(settings_of(variant, minibatches=2, learning_rate=1e-30), tuning)
    same(whole, divided)
    same(whole, learnt(settings, tuning, tokens_at_once=60))  # about one group at once, so that none is padded


@pytest.mark.parametrize("variant", ["grpo", "ppo"])
@pytest.mark.parametrize("tuning", [LORA, FULL], ids=["lora", "full"])
@pytest.mark.parametrize("accumulated", [1, 2])
def test_recomputed_activations_give_the_same_gradient(variant: str, tuning: TuningSettings, accumulated: int) -> None:
    settings = settings_of(variant, gradient_accumulation_steps=accumulated)
    same(learnt(settings, tuning), learnt(settings, tuning.model_copy(update={"gradient_checkpointing": True})))


@pytest.mark.parametrize("variant", ["rloo", "ppo"])
@pytest.mark.parametrize("tuning", [LORA, FULL], ids=["lora", "full"])
def test_recomputation_and_its_backward_pass_work_in_bfloat16(variant: str, tuning: TuningSettings) -> None:
    settings = settings_of(variant)
    gradients: list[Tensor] = []
    for checkpointing in (False, True):
        policy = policy_for(
            settings, tuning.model_copy(update={"gradient_checkpointing": checkpointing}), torch.bfloat16
        )
        groups = sampled(policy, settings)
        _, taken = taught(policy, settings, groups, some_rewards(groups))
        gradients.append(mean_gradient(taken))
        assert {p.dtype for p in policy.trainable} == {torch.float32}
    assert float(gradients[0].norm()) > 1e-2
    assert torch.equal(gradients[0], gradients[1])


def test_recomputation_recomputes() -> None:
    """The layers run once more in the backward pass, though their switch is off again by then."""
    runs: list[int] = []
    for checkpointing in (False, True):
        policy = policy_for(settings_of("rloo"), LORA.model_copy(update={"gradient_checkpointing": checkpointing}))
        calls: list[int] = []
        inside: Any = policy.base.model.model.layers[0].mlp
        inside.register_forward_pre_hook(lambda *_, calls=calls: calls.append(1))
        policy.log_probs(GROUPS).sum().backward()
        runs.append(len(calls))
        assert not any(layer.training for layer in policy.base.model.model.layers)
    assert runs == [1, 2]


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=["fp32", "bf16"])
def test_full_fine_tuning_leaves_the_reference_and_ties_as_they_are(dtype: torch.dtype) -> None:
    settings = settings_of("rloo", learning_rate=1e-2)
    policy = Policy(make_model(dtype=dtype), FULL, seed=0)
    reference = policy.reference_log_probs(GROUPS)
    base = [p.clone() for p in policy.base.model.parameters()]
    torch.testing.assert_close(policy.log_probs(GROUPS).detach(), reference, atol=2e-1, rtol=0)
    groups = sampled(policy, settings)
    taught(policy, settings, groups, some_rewards(groups))
    assert float((policy.log_probs(GROUPS).detach() - reference).abs().max()) > 0.1
    assert torch.equal(policy.reference_log_probs(GROUPS), reference)
    assert all(torch.equal(a, b) for a, b in zip(base, policy.base.model.parameters(), strict=True))
    assert policy.model.lm_head.weight is policy.model.model.embed_tokens.weight
    assert sum(p is policy.model.lm_head.weight for p in policy.trainable) == 1


@pytest.mark.parametrize("tuning", [LORA, FULL], ids=["lora", "full"])
def test_what_is_kept_comes_back(tuning: TuningSettings, tmp_path: Path) -> None:
    settings = settings_of("ppo")
    policy = policy_for(settings, tuning)
    expected = policy.log_probs(GROUPS).detach()
    weights = {name: tensor.clone() for name, tensor in policy.weights().items()}
    assert sum("lm_head" in name or "embed_tokens" in name for name in weights) == (tuning.method == "full")
    fresh = Policy(make_model(), tuning, seed=5, values=True)
    fresh.load_weights(weights, step=3)
    assert (fresh.step, fresh.identity) == (3, "tiny-0+step3")
    assert torch.equal(fresh.log_probs(GROUPS).detach(), expected)
    assert all(torch.equal(a, b) for a, b in zip(fresh.trainable, policy.trainable, strict=True))

    policy.step = 3
    files = RunFiles(tmp_path)
    files.prepare()
    folder = files.save_checkpoint(policy)
    again = Policy(make_model(), tuning, seed=5, values=True)
    files.load_checkpoint(again, 3)
    torch.testing.assert_close(again.log_probs(GROUPS).detach(), expected, atol=1e-5, rtol=1e-5)
    assert "value_head.weight" not in load_file(next(folder.glob("*.safetensors")))

    policy.save_merged(tmp_path / "merged")
    plain: Any = AutoModelForCausalLM.from_pretrained(tmp_path / "merged", dtype=torch.float32)
    torch.testing.assert_close(packed_log_probs(plain.eval(), GROUPS, 1.0).detach(), expected, atol=1e-4, rtol=0)
    assert plain.lm_head.weight is plain.model.embed_tokens.weight


def test_a_full_policy_over_a_bfloat16_base_is_saved_in_bfloat16_and_goes_on_in_fp32(tmp_path: Path) -> None:
    policy = policy_for(settings_of("rloo"), FULL, torch.bfloat16)
    policy.save(tmp_path)
    assert {tensor.dtype for tensor in load_file(tmp_path / "model.safetensors").values()} == {torch.bfloat16}
    assert {p.dtype for p in policy.trainable} == {torch.float32}
    fresh = Policy(make_model(dtype=torch.bfloat16), FULL, seed=0)
    fresh.load(tmp_path, step=1)
    assert {p.dtype for p in fresh.trainable} == {torch.float32}
    for saved, learning in zip(fresh.trainable, policy.trainable, strict=True):
        assert torch.equal(saved, learning.to(torch.bfloat16).float())


def test_groups_that_teach_nothing_are_counted_and_have_no_gradient() -> None:
    """No reward at all, a single one, and rewards that are all equal, in the middle of a group that teaches."""
    for variant in ("rloo", "grpo", "grpo unbiased"):
        settings = settings_of(variant, kl_coefficient=0)
        policy = policy_for(settings)
        groups = sampled(policy, settings)
        facts, taken = taught(
            policy, settings, groups, [[None] * 3, [None, 0.7, None], [0.1, 0.1, 0.1], [1.0, 0.0, 0.5]]
        )
        assert (facts.flat_groups, facts.abstained) == (3, 5)
        alone_facts, alone = taught(policy_for(settings), settings, groups[3:], [[1.0, 0.0, 0.5]])
        assert alone_facts.flat_groups == 0
        torch.testing.assert_close(4 * mean_gradient(taken), mean_gradient(alone), atol=1e-5, rtol=1e-4)
        flat: Rewards = [[None] * 3, [None] * 3, [0.7] * 3, [0.7] * 3]
        facts, [step] = taught(policy_for(settings), settings, groups, flat)
        assert facts.flat_groups == 4
        assert not step.gradient.any()


def test_online_dpo_learns_from_whole_pairs_alone() -> None:
    settings = settings_of("online_dpo")
    policy = policy_for(settings)
    groups = sampled(policy, settings)
    facts, taken = taught(policy, settings, groups, [[None, 1.0], [2.0, None], [None, None], [3.0, 1.0]])
    assert (facts.flat_groups, facts.abstained) == (3, 4)
    _, alone = taught(policy_for(settings), settings, groups[3:], [[3.0, 1.0]])
    torch.testing.assert_close(4 * mean_gradient(taken), mean_gradient(alone), atol=1e-5, rtol=1e-4)
    # Rewards far apart are a label of 1 and no NaN; equal ones are a label of a half, which holds to the reference.
    facts, [step] = taught(policy_for(settings), settings, groups, [[1e4, -1e4]] * 4)
    assert bool(step.gradient.isfinite().all())
    swapped = [replace(g, tokens=replace(g.tokens, responses=g.tokens.responses[::-1])) for g in groups]
    _, [other] = taught(policy_for(settings), settings, swapped, [[-1e4, 1e4]] * 4)
    torch.testing.assert_close(step.gradient, other.gradient, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("variant", VARIANTS)
def test_a_step_without_a_reward_moves_nothing(variant: str) -> None:
    settings = settings_of(variant, kl_in="reward", epochs_per_batch=2, minibatches=2)
    policy = policy_for(settings)
    groups = sampled(policy, settings)
    facts, taken = taught(policy, settings, groups, [[None] * settings.group_size] * 4)
    assert facts.flat_groups == 4
    assert len(taken) == 4
    assert not any(step.gradient.any() for step in taken)
    assert all(torch.equal(a, b) for a, b in zip(policy.trainable, policy_for(settings).trainable, strict=True))
