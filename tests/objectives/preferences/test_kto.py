"""KTO against numbers derived by hand (Ethayarajh et al. 2024, equations 7 and 8)."""

import math

import pytest
import torch

from preceptor.objectives.preferences.kto import Kto, baseline_of

RAISED = 1.0 / (1.0 + math.exp(-0.5 * (3.0 - 1.0)))  # σ(β (r - z)) with β = 0.5, r = 3, z = 1


def loss(desirable: float, **weights: float) -> float:
    [value] = Kto(0.5, **weights).losses(torch.tensor([3.0]), torch.tensor([desirable]), baseline=1.0).tolist()
    return value


def test_hard_labels() -> None:
    assert loss(1.0) == pytest.approx(1.0 - RAISED)
    assert loss(0.0) == pytest.approx(RAISED)
    assert loss(1.0, desirable_weight=2.0) == pytest.approx(2.0 * (1.0 - RAISED))
    assert loss(0.0, undesirable_weight=3.0) == pytest.approx(3.0 * RAISED)


def test_a_soft_label_is_the_mean_of_both() -> None:
    assert loss(0.75) == pytest.approx(0.75 * (1.0 - RAISED) + 0.25 * RAISED)


@pytest.mark.parametrize(
    ("desirable", "weights", "sign"),
    [(0.6, {}, -1), (0.4, {}, 1), (0.5, {}, 0), (0.4, {"desirable_weight": 2.0}, -1)],
)
def test_the_side_decides_the_direction(desirable: float, weights: dict[str, float], sign: int) -> None:
    """The slope is -(d λ_D - (1 - d) λ_U) β σ'(β (r - z)): at d = 0.5 it is 0, wherever the policy is."""
    log_ratios_B = torch.tensor([3.0], requires_grad=True)
    Kto(0.5, **weights).losses(log_ratios_B, torch.tensor([desirable]), 1.0).sum().backward()
    assert log_ratios_B.grad is not None
    assert math.copysign(1.0, float(log_ratios_B.grad)) == sign or (sign == 0 and float(log_ratios_B.grad) == 0.0)


def test_the_baseline_is_never_negative() -> None:
    assert baseline_of([1.0, 2.0]) == 1.5
    assert baseline_of([-1.0, 0.5]) == 0.0


def test_wrong_values_are_refused() -> None:
    one = torch.zeros(1)
    for desirable in (1.5, -0.1, math.nan):
        with pytest.raises(ValueError, match="probabilities"):
            Kto(0.5).losses(one, torch.tensor([desirable]), 0.0)
    with pytest.raises(ValueError, match="one label per response"):
        Kto(0.5).losses(one, torch.zeros(2), 0.0)
    with pytest.raises(ValueError, match="weights > 0"):
        Kto(0.5, desirable_weight=0.0)
