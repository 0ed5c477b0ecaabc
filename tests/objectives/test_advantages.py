import math

import pytest
import torch

from preceptor.objectives.advantages import baseline_advantages, kl_penalised_rewards, leave_one_out_advantages


def test_leave_one_out_by_hand() -> None:
    rewards = torch.tensor([[1.0, 2.0, 6.0]])
    # 1 - (2 + 6) / 2, 2 - (1 + 6) / 2, 6 - (1 + 2) / 2
    expected = torch.tensor([[-3.0, -1.5, 4.5]])
    torch.testing.assert_close(leave_one_out_advantages(rewards, torch.ones(1, 3, dtype=torch.bool)), expected)


def test_a_missing_reward_leaves_the_others_as_if_it_had_not_been_sampled() -> None:
    rewards = torch.tensor([[1.0, math.nan, 6.0]])
    valid = ~rewards.isnan()
    torch.testing.assert_close(leave_one_out_advantages(rewards, valid), torch.tensor([[-5.0, 0.0, 5.0]]))


def test_a_response_without_siblings_teaches_nothing() -> None:
    rewards = torch.tensor([[3.0, math.nan], [math.nan, math.nan]])
    assert leave_one_out_advantages(rewards, ~rewards.isnan()).tolist() == [[0.0, 0.0], [0.0, 0.0]]


def test_baseline_by_hand() -> None:
    rewards = torch.tensor([[1.0, math.nan], [3.0, 0.0]])
    assert baseline_advantages(rewards, ~rewards.isnan(), 2.0).tolist() == [[-1.0, 0.0], [1.0, -2.0]]


def test_kl_costs_beta_per_nat() -> None:
    result = kl_penalised_rewards(torch.tensor([[1.0, 1.0]]), torch.tensor([[2.0, -4.0]]), 0.1)
    torch.testing.assert_close(result, torch.tensor([[0.8, 1.4]]))


def test_shapes_are_checked() -> None:
    with pytest.raises(ValueError, match="prompts × group"):
        leave_one_out_advantages(torch.zeros(2, 3), torch.ones(3, 2, dtype=torch.bool))
