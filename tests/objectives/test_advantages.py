import math

import pytest
import torch

from preceptor.objectives.advantages import (
    baseline_advantages,
    generalised_advantages,
    group_normalised_advantages,
    kl_penalised_rewards,
    leave_one_out_advantages,
    turn_advantages,
)


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


def test_group_normalisation_by_hand() -> None:
    rewards = torch.tensor([[1.0, 2.0, 6.0], [math.nan, 4.0, 8.0], [5.0, math.nan, math.nan], [2.0, 2.0, 2.0]])
    centred = [[-2.0, -1.0, 3.0], [0.0, -2.0, 2.0], [0.0, 0.0, 0.0], [0.0, 0.0, 0.0]]
    assert group_normalised_advantages(rewards, ~rewards.isnan(), scale=False).tolist() == centred
    deviations = torch.tensor([[math.sqrt(14 / 2)], [math.sqrt(8)], [1.0], [0.0]])
    expected = torch.tensor(centred) / (deviations + 1e-4)
    torch.testing.assert_close(group_normalised_advantages(rewards, ~rewards.isnan(), scale=True), expected)


def test_generalised_advantages_by_hand() -> None:
    rewards = torch.tensor([0.0, 1.0, 5.0])  # responses of two tokens and of one
    values = torch.tensor([0.5, 0.25, 2.0])
    advantages, returns = generalised_advantages(rewards, values, torch.tensor([2, 1]), 0.5)
    # the second token: 1 + 0 - 0.25; the first: (0 + 0.25 - 0.5) + 0.5 · 0.75; the other response: 5 - 2
    assert advantages.tolist() == [0.125, 0.75, 3.0]
    assert returns.tolist() == [0.625, 1.0, 5.0]


def test_generalised_advantages_with_lambda_one_are_what_follows_minus_the_value() -> None:
    rewards, values = torch.tensor([1.0, 2.0, 4.0]), torch.tensor([0.5, -1.0, 3.0])
    advantages, returns = generalised_advantages(rewards, values, torch.tensor([3]), 1.0)
    assert returns.tolist() == [7.0, 6.0, 4.0]
    assert advantages.tolist() == [6.5, 7.0, 1.0]


def test_generalised_advantages_check_their_shapes() -> None:
    with pytest.raises(ValueError, match="responses of 4 tokens do not fit"):
        generalised_advantages(torch.zeros(3), torch.zeros(3), torch.tensor([4]), 1.0)


@pytest.mark.parametrize("size", [3, 4, 5, 7])
def test_equal_rewards_have_no_advantage_however_they_are_rounded(size: int) -> None:
    rewards = torch.tensor([[tenths / 10 * 1.1] * size for tenths in range(1, 11)])
    valid = torch.ones_like(rewards, dtype=torch.bool)
    assert not leave_one_out_advantages(rewards, valid).any()
    assert not group_normalised_advantages(rewards, valid, scale=True).any()


def test_turns_are_normalised_within_their_group_by_hand() -> None:
    """The first group's turns scored 1, 2 and 6, of which one more has no score; its mean is 3, its deviation √7."""
    scores = torch.tensor([1.0, 2.0, math.nan, 6.0, 4.0, 5.0, 5.0])
    groups = torch.tensor([0, 0, 0, 0, 1, 2, 2])
    deviation = math.sqrt((4 + 1 + 9) / 2) + 1e-4
    expected = torch.tensor([-2.0, -1.0, 0.0, 3.0, 0.0, 0.0, 0.0]) / deviation
    torch.testing.assert_close(turn_advantages(scores, ~scores.isnan(), groups), expected)


def test_turn_scores_of_another_shape_are_refused() -> None:
    with pytest.raises(ValueError, match="do not fit"):
        turn_advantages(torch.zeros(2), torch.ones(2, dtype=torch.bool), torch.zeros(3, dtype=torch.int64))
