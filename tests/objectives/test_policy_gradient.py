import math

import pytest
import torch

from preceptor.objectives.policy_gradient import clipped_sequence_loss, sequence_sums


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
    loss = clipped_sequence_loss(log_probs, log_probs.detach(), advantages, 0.2)
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
    loss = clipped_sequence_loss(log_probs, torch.zeros(1), torch.tensor([advantage]), 0.2)
    assert loss.item() == pytest.approx(expected)
    loss.sum().backward()
    assert log_probs.grad is not None
    assert log_probs.grad.item() == pytest.approx(slope)


def test_shapes_are_checked() -> None:
    with pytest.raises(ValueError, match="one number per response"):
        clipped_sequence_loss(torch.zeros(2), torch.zeros(3), torch.zeros(2), 0.2)
