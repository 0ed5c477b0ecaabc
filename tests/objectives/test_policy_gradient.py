import math

import pytest
import torch

from preceptor.objectives.policy_gradient import (
    clipped_loss,
    clipped_value_loss,
    kl_estimate,
    sequence_sums,
    truncated_importance,
    weighted_loss,
)


def test_sums_by_sequence() -> None:
    values = torch.tensor([1.0, 2.0, 4.0, 8.0], requires_grad=True)
    sums = sequence_sums(values, torch.tensor([0, 0, 1, 2]), 3)
    assert sums.tolist() == [3.0, 4.0, 8.0]
    (sums * torch.tensor([1.0, 2.0, 3.0])).sum().backward()
    assert values.grad is not None
    assert values.grad.tolist() == [1.0, 1.0, 2.0, 3.0]


def test_on_policy_the_gradient_is_reinforce() -> None:
    log_probs = torch.tensor([-3.0, -5.0], requires_grad=True)
    advantages = torch.tensor([2.0, -1.0])
    loss = clipped_loss(log_probs, log_probs.detach(), advantages, 0.2)
    assert loss.tolist() == [-2.0, 1.0]
    loss.sum().backward()
    assert log_probs.grad is not None
    assert log_probs.grad.tolist() == [-2.0, 1.0]


@pytest.mark.parametrize(
    ("ratio", "advantage", "expected", "slope"),
    [
        (1.5, 1.0, -1.2, 0.0),  # far enough in the good direction: clipped
        (1.5, -1.0, 1.5, 1.5),  # in the bad direction: not clipped
        (0.5, 1.0, -0.5, -0.5),
        (0.5, -1.0, 0.8, 0.0),
    ],
)
def test_clipping_by_hand(ratio: float, advantage: float, expected: float, slope: float) -> None:
    log_probs = torch.tensor([math.log(ratio)], requires_grad=True)
    loss = clipped_loss(log_probs, torch.zeros(1), torch.tensor([advantage]), 0.2)
    assert loss.item() == pytest.approx(expected)
    loss.sum().backward()
    assert log_probs.grad is not None
    assert log_probs.grad.item() == pytest.approx(slope)


def test_the_upper_bound_may_be_another() -> None:
    log_probs = torch.tensor([1.25, 1.4, 0.7]).log()
    found = clipped_loss(log_probs, torch.zeros(3), torch.tensor([1.0, 1.0, -1.0]), 0.2, 0.28)
    assert found.tolist() == pytest.approx([-1.25, -1.28, 0.8])


@pytest.mark.parametrize("advantage", [1.0, -1.0])
@pytest.mark.parametrize(("ratio", "weight"), [(4.0, 1.5), (1.2, 1.2), (0.1, 0.1)])
def test_a_bounded_weight_has_no_gradient_of_its_own(ratio: float, weight: float, advantage: float) -> None:
    log_probs = torch.tensor([math.log(ratio)], requires_grad=True)
    loss = weighted_loss(log_probs, torch.zeros(1), torch.tensor([advantage]), 0.5)
    assert loss.item() == pytest.approx(-weight * advantage * math.log(ratio))
    loss.sum().backward()
    assert log_probs.grad is not None
    assert log_probs.grad.item() == pytest.approx(-weight * advantage)


def test_importance_weights_are_bounded_from_above_alone() -> None:
    log_probs = torch.tensor([8.0, 1.0, 0.1], requires_grad=True)
    weights = truncated_importance(log_probs.log(), torch.zeros(3), 2.0)
    assert weights.tolist() == pytest.approx([2.0, 1.0, 0.1])
    assert not weights.requires_grad


def test_shapes_are_checked() -> None:
    with pytest.raises(ValueError, match="one number per token or response"):
        clipped_loss(torch.zeros(2), torch.zeros(3), torch.zeros(2), 0.2)


@pytest.mark.parametrize(
    ("value", "expected", "slope"),
    [
        (1.1, 0.5 * 0.9**2, -0.9),  # 0.1 from its old estimate of 1, towards the return of 2
        (1.5, 0.5 * 0.8**2, 0.0),  # too far: the loss at 1.2 is the larger one, and does not move the head
        (0.5, 0.5 * 1.5**2, -1.5),  # too far in the wrong direction: not clipped
    ],
)
def test_the_value_head_moves_little_in_one_batch(value: float, expected: float, slope: float) -> None:
    values = torch.tensor([value], requires_grad=True)
    loss = clipped_value_loss(values, torch.ones(1), torch.full((1,), 2.0), 0.2)
    assert loss.item() == pytest.approx(expected)
    loss.sum().backward()
    assert values.grad is not None
    assert values.grad.item() == pytest.approx(slope)


def test_the_kl_estimate_by_hand_and_in_expectation() -> None:
    log_probs = torch.tensor([math.log(0.5)], requires_grad=True)
    estimate = kl_estimate(log_probs, torch.tensor([math.log(0.25)]))
    assert estimate.item() == pytest.approx(0.5 - 1 - math.log(0.5))  # exp(d) - 1 - d at d = log(1/2)
    estimate.sum().backward()
    assert log_probs.grad is not None
    assert log_probs.grad.item() == pytest.approx(1 - 0.5)  # d/dlogπ = 1 - exp(d)
    policy, reference = torch.tensor([0.7, 0.2, 0.1]), torch.tensor([0.3, 0.3, 0.4])
    expected = (policy * (policy / reference).log()).sum()
    torch.testing.assert_close((policy * kl_estimate(policy.log(), reference.log())).sum(), expected)
