"""DPO losses against numbers derived by hand."""

import math

import pytest
import torch

from preceptor.objectives.preferences.dpo import Dpo
from preceptor.objectives.preferences.noisy_dpo import ConservativeDpo, RobustDpo
from preceptor.objectives.preferences.pairs import PairLoss, Pairs

# The log-ratios are -1 - (-2) = 1 (chosen) and -4 - (-3) = -1 (rejected); with β = 0.5 the margin h is 1.
POLICY_CHOSEN, POLICY_REJECTED, REFERENCE_CHOSEN, REFERENCE_REJECTED = -1.0, -4.0, -2.0, -3.0
LIKELY = math.log(1 + math.exp(-1))  # -log σ(1) = 0.3133
UNLIKELY = math.log(1 + math.exp(1))  # -log σ(-1) = 1.3133


NOISY = {"conservative": ConservativeDpo, "robust": RobustDpo}


def pairs_of(p: float) -> Pairs:
    return Pairs(
        torch.tensor([[POLICY_CHOSEN, POLICY_REJECTED]]),
        torch.tensor([p]),
        torch.tensor([[REFERENCE_CHOSEN, REFERENCE_REJECTED]]),
    )


def loss(p: float, kind: str = "sigmoid", label_smoothing: float = 0.0) -> float:
    chosen: PairLoss = Dpo(0.5) if kind == "sigmoid" else NOISY[kind](0.5, label_smoothing)
    [value] = chosen.losses(pairs_of(p)).tolist()
    return value


@pytest.mark.parametrize("kind", [Dpo(0.5), ConservativeDpo(0.5, 0.1), RobustDpo(0.5, 0.1)])
def test_implicit_rewards(kind: PairLoss) -> None:
    assert kind.rewards(pairs_of(1.0)).tolist() == [[0.5, -0.5]]


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
def test_without_smoothing_all_kinds_are_one(kind: str) -> None:
    assert loss(0.7, kind, 0.0) == pytest.approx(loss(0.7))


def test_the_gradient_is_that_of_cross_entropy() -> None:
    """dl/dh = σ(h) - p, so dl/d log π(chosen) = β (σ(h) - p); the rejected response has the opposite."""
    for p in (1.0, 0.6, 0.0):
        pairs = pairs_of(p)
        policy_B2, reference_B2 = pairs.policy_B2.requires_grad_(), pairs.reference_B2
        assert reference_B2 is not None
        reference_B2.requires_grad_()
        Dpo(0.5).losses(pairs).sum().backward()
        assert policy_B2.grad is not None
        slope = 0.5 * (float(torch.sigmoid(torch.tensor(1.0))) - p)
        torch.testing.assert_close(policy_B2.grad, torch.tensor([[slope, -slope]]))
        assert reference_B2.grad is None


def test_a_soft_label_has_its_optimum_where_the_policy_agrees_with_it() -> None:
    """σ(h) = p: at h = log(p / (1 - p)) the gradient is 0."""
    policy_B2 = torch.tensor([[math.log(0.8 / 0.2) / 0.5, 0.0]], requires_grad=True)
    Dpo(0.5).losses(Pairs(policy_B2, torch.tensor([0.8]), torch.zeros(1, 2))).sum().backward()
    assert policy_B2.grad is not None
    assert float(policy_B2.grad.abs().max()) == pytest.approx(0.0, abs=1e-7)


def test_huge_margins_stay_finite() -> None:
    policy_B2 = torch.tensor([[1e4, 0.0], [-1e4, 0.0]])
    assert Dpo(1.0).losses(Pairs(policy_B2, torch.ones(2), torch.zeros(2, 2))).tolist() == [0.0, 1e4]


def test_wrong_shapes_and_values_are_refused() -> None:
    two_B2, two_B = torch.zeros(2, 2), torch.zeros(2)
    with pytest.raises(ValueError, match=r"two numbers and one label for each pair, got shapes .*\(3, 2\)"):
        Pairs(two_B2, two_B, torch.zeros(3, 2))
    with pytest.raises(ValueError, match="one label for each pair"):
        Pairs(two_B, two_B)
    with pytest.raises(ValueError, match="floating-point"):
        Pairs(two_B2, torch.ones(2, dtype=torch.int64))
    for p in (1.5, -0.1, math.nan):
        with pytest.raises(ValueError, match="probabilities"):
            Pairs(two_B2, torch.tensor([0.5, p]))
    with pytest.raises(ValueError, match="no log-probabilities of the reference"):
        Dpo(0.1).losses(Pairs(two_B2, two_B))
    with pytest.raises(ValueError, match="expected beta > 0"):
        Dpo(0.0)
    for smoothing in (0.5, -0.1):
        with pytest.raises(ValueError, match="expected 0 <= label_smoothing"):
            RobustDpo(0.1, smoothing)
