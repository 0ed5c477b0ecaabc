"""Online DPO as a policy gradient: its gradient is that of the DPO loss."""

import pytest
import torch

from preceptor.core.errors import UsageError
from preceptor.objectives.preferences.dpo import Dpo
from preceptor.objectives.preferences.pairs import Pairs
from preceptor.recipes.load import load_recipe
from preceptor.training.trl.online_dpo import pair_advantages

BETA = 0.3
NAN = float("nan")


def test_the_gradient_is_that_of_the_dpo_loss() -> None:
    log_probs_P2 = torch.tensor([[-3.0, -4.0], [-2.0, -2.5], [-1.0, -6.0]], requires_grad=True)
    reference_P2 = torch.tensor([[-3.5, -3.0], [-2.0, -2.5], [-2.0, -2.0]])
    rewards_P2 = torch.tensor([[1.0, -0.5], [0.0, 0.0], [-2.0, 3.0]])
    advantages_P2, losses_P = pair_advantages(rewards_P2, (log_probs_P2 - reference_P2).detach(), BETA)
    labels_P = torch.sigmoid(rewards_P2[:, 0] - rewards_P2[:, 1])
    expected_P = Dpo(BETA).losses(Pairs(log_probs_P2, labels_P, reference_P2))
    torch.testing.assert_close(losses_P, expected_P.detach())
    [gradient] = torch.autograd.grad(expected_P.mean(), log_probs_P2, retain_graph=True)
    [of_advantages] = torch.autograd.grad(-(advantages_P2 * log_probs_P2).mean(), log_probs_P2)
    torch.testing.assert_close(of_advantages, gradient)


def test_by_hand_and_a_missing_reward_teaches_nothing() -> None:
    """The policy is the reference, so that σ(h) = 1/2; σ(ln 3) = 3/4."""
    rewards_P2 = torch.tensor([[torch.tensor(3.0).log(), 0.0], [NAN, 1.0], [NAN, NAN], [2.0, 2.0]])
    advantages_P2, losses_P = pair_advantages(rewards_P2, torch.zeros(4, 2), 0.1)
    expected = torch.tensor([[0.05, -0.05], [0.0, 0.0], [0.0, 0.0], [0.0, 0.0]])
    torch.testing.assert_close(advantages_P2, expected)
    torch.testing.assert_close(losses_P, torch.tensor([0.693147, 0.0, 0.0, 0.693147]))


def test_what_the_recipe_may_ask() -> None:
    load_recipe("online_dpo", ["engine.name=trl", "engine.trl.top_p=0.9"]).check()
    for setting, words in (
        ("rl.minibatches=2", r"rl\.minibatches"),
        ("rl.epochs_per_batch=2", r"rl\.epochs_per_batch"),
        ("engine.loss_type=dapo", "online_dpo"),
        ("engine.trl.beta=0.2", r"rl\.kl_coefficient"),
    ):
        with pytest.raises(UsageError, match=words):
            load_recipe("online_dpo", ["engine.name=trl", setting]).check()
