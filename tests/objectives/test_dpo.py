"""DPO losses against numbers derived by hand."""

import math

import pytest
import torch
from torch import Tensor

from preceptor.objectives.dpo import DpoKind, dpo_losses, implicit_rewards

# The log-ratios are -1 - (-2) = 1 (chosen) and -4 - (-3) = -1 (rejected); with β = 0.5 the margin h is 1.
POLICY_CHOSEN, POLICY_REJECTED, REFERENCE_CHOSEN, REFERENCE_REJECTED = -1.0, -4.0, -2.0, -3.0
LIKELY = math.log(1 + math.exp(-1))  # -log σ(1) = 0.3133
UNLIKELY = math.log(1 + math.exp(1))  # -log σ(-1) = 1.3133


def loss(p: float, kind: DpoKind = "sigmoid", label_smoothing: float = 0.0) -> float:
    chosen, rejected = torch.tensor([POLICY_CHOSEN]), torch.tensor([POLICY_REJECTED])
    references = torch.tensor([REFERENCE_CHOSEN]), torch.tensor([REFERENCE_REJECTED])
    [value] = dpo_losses(chosen, rejected, *references, 0.5, torch.tensor([p]), kind, label_smoothing).tolist()
    return value


def test_implicit_rewards() -> None:
    rewards = implicit_rewards(torch.tensor([-1.0, -4.0]), torch.tensor([-2.0, -3.0]), 0.5)
    assert rewards.tolist() == [0.5, -0.5]


def test_a_hard_label_is_the_paper_s_loss() -> None:
    assert loss(1.0) == pytest.approx(LIKELY)
    assert loss(0.0) == pytest.approx(UNLIKELY)


def test_a_soft_label_mixes_both_orders() -> None:
    assert loss(0.75) == pytest.approx(0.75 * LIKELY + 0.25 * UNLIKELY)
    assert loss(0.5) == pytest.approx((LIKELY + UNLIKELY) / 2)


def test_conservative_mixes_the_label_with_its_opposite() -> None:
    assert loss(1.0, "conservative", 0.1) == pytest.approx(0.9 * LIKELY + 0.1 * UNLIKELY)
    # p = 0.75, ε = 0.1: 0.9 · 0.75 + 0.1 · 0.25 = 0.7
    assert loss(0.75, "conservative", 0.1) == pytest.approx(0.7 * LIKELY + 0.3 * UNLIKELY)


def test_robust_takes_the_flips_out() -> None:
    assert loss(1.0, "robust", 0.1) == pytest.approx((0.9 * LIKELY - 0.1 * UNLIKELY) / 0.8)
    # p = 0.75: (0.9 · (0.75 L + 0.25 U) - 0.1 · (0.25 L + 0.75 U)) / 0.8 = 0.8125 L + 0.1875 U
    assert loss(0.75, "robust", 0.1) == pytest.approx(0.8125 * LIKELY + 0.1875 * UNLIKELY)


def test_robust_is_unbiased() -> None:
    """Its mean over labels flipped with probability ε is the loss of the true label."""
    assert 0.8 * loss(1.0, "robust", 0.2) + 0.2 * loss(0.0, "robust", 0.2) == pytest.approx(LIKELY)


@pytest.mark.parametrize("kind", ["conservative", "robust"])
def test_without_smoothing_all_kinds_are_one(kind: DpoKind) -> None:
    assert loss(0.7, kind, 0.0) == pytest.approx(loss(0.7))


def gradients(p: float) -> tuple[list[Tensor], Tensor]:
    leaves = [torch.tensor([n], requires_grad=True) for n in (-1.0, -4.0, -2.0, -3.0)]
    dpo_losses(leaves[0], leaves[1], leaves[2], leaves[3], 0.5, torch.tensor([p])).sum().backward()
    return leaves, torch.sigmoid(torch.tensor([1.0]))


def test_the_gradient_is_that_of_cross_entropy() -> None:
    """dl/dh = σ(h) - p, so dl/d log π(chosen) = β (σ(h) - p); the rejected response has the opposite."""
    for p in (1.0, 0.6, 0.0):
        (chosen, rejected, *references), sigma = gradients(p)
        assert chosen.grad is not None and rejected.grad is not None
        torch.testing.assert_close(chosen.grad, 0.5 * (sigma - p))
        torch.testing.assert_close(rejected.grad, -0.5 * (sigma - p))
        assert all(reference.grad is None for reference in references)


def test_a_soft_label_has_its_optimum_where_the_policy_agrees_with_it() -> None:
    """σ(h) = p: at h = log(p / (1 - p)) the gradient is 0."""
    h = math.log(0.8 / 0.2)
    chosen = torch.tensor([h / 0.5], requires_grad=True)
    zero = torch.zeros(1)
    dpo_losses(chosen, zero, zero, zero, 0.5, torch.tensor([0.8])).sum().backward()
    assert chosen.grad is not None
    assert float(chosen.grad) == pytest.approx(0.0, abs=1e-7)


def test_huge_margins_stay_finite() -> None:
    far, zero = torch.tensor([1e4, -1e4]), torch.zeros(2)
    losses = dpo_losses(far, zero, zero, zero, 1.0, torch.ones(2))
    assert losses.tolist() == [0.0, 1e4]


def test_wrong_shapes_and_values_are_refused() -> None:
    two, three = torch.zeros(2), torch.zeros(3)
    with pytest.raises(ValueError, match=r"one number per pair, got shapes .*\(3,\)"):
        dpo_losses(two, two, two, three, 0.1, two)
    with pytest.raises(ValueError, match="one number per pair"):
        dpo_losses(two[None], two[None], two[None], two[None], 0.1, two[None])
    with pytest.raises(ValueError, match="floating-point"):
        dpo_losses(two, two, two, two, 0.1, torch.ones(2, dtype=torch.int64))
    for p in (1.5, -0.1, math.nan):
        with pytest.raises(ValueError, match="probabilities"):
            dpo_losses(two, two, two, two, 0.1, torch.tensor([0.5, p]))
    for beta, smoothing in ((0.0, 0.0), (0.1, 0.5), (0.1, -0.1)):
        with pytest.raises(ValueError, match="expected beta > 0"):
            dpo_losses(two, two, two, two, beta, two, "robust", smoothing)
