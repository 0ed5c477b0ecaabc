"""The losses of pairs against numbers derived by hand, and what holds for all of them."""

import math

import pytest
import torch
from torch import Tensor

from preceptor.objectives.preferences.dpo import Dpo, LengthNormalisedDpo
from preceptor.objectives.preferences.ipo import Ipo
from preceptor.objectives.preferences.noisy_dpo import ConservativeDpo, RobustDpo
from preceptor.objectives.preferences.odpo import Odpo
from preceptor.objectives.preferences.orpo import Orpo
from preceptor.objectives.preferences.pairs import PairLoss, Pairs
from preceptor.objectives.preferences.simpo import SimPo

LOSSES: dict[str, PairLoss] = {
    "sigmoid": Dpo(0.5),
    "conservative": ConservativeDpo(0.5, 0.1),
    "robust": RobustDpo(0.5, 0.1),
    "sigmoid_norm": LengthNormalisedDpo(0.5),
    "ipo": Ipo(0.5),
    "odpo": Odpo(0.5, 2.0),
    "simpo": SimPo(2.0, 1.0),
    "orpo": Orpo(0.5),
}
FREE = ("simpo", "orpo")
"""Those without a reference."""


def pairs(p: float, *, reference: bool = True) -> Pairs:
    """Log-ratios 1 and -1 over 2 and 4 tokens: 0.5 and -0.25 per token; log π -0.5 and -1 per token."""
    return Pairs(
        policy_B2=torch.tensor([[-1.0, -4.0]]),
        p_chosen_B=torch.tensor([p]),
        reference_B2=torch.tensor([[-2.0, -3.0]]) if reference else None,
        lengths_B2=torch.tensor([[2.0, 4.0]]),
        differences_B=torch.tensor([0.25]),
    )


def loss(name: str, p: float) -> float:
    [value] = LOSSES[name].losses(pairs(p, reference=name not in FREE)).tolist()
    return value


def minus_log_sigmoid(x: float) -> float:
    return math.log(1.0 + math.exp(-x))


@pytest.mark.parametrize(
    ("name", "chosen", "rejected"),
    [
        ("sigmoid_norm", 0.25, -0.125),
        ("ipo", 0.25, -0.125),
        ("odpo", 0.5, -0.5),
        ("simpo", -1.0, -2.0),
        ("orpo", math.log(math.exp(-0.5) / (1 - math.exp(-0.5))), math.log(math.exp(-1) / (1 - math.exp(-1)))),
    ],
)
def test_rewards(name: str, chosen: float, rejected: float) -> None:
    [rewards] = LOSSES[name].rewards(pairs(1.0, reference=name not in FREE)).tolist()
    assert rewards == pytest.approx([chosen, rejected])


@pytest.mark.parametrize(
    ("name", "right", "wrong"),
    [
        ("sigmoid_norm", minus_log_sigmoid(0.375), minus_log_sigmoid(-0.375)),
        ("ipo", (0.75 - 1.0) ** 2, (0.75 + 1.0) ** 2),
        ("odpo", minus_log_sigmoid(1.0 - 0.5), minus_log_sigmoid(-(1.0 - 0.5))),  # the offset is 2 · 0.25
        ("simpo", minus_log_sigmoid(1.0 - 1.0), minus_log_sigmoid(-1.0 - 1.0)),
        # the log odds are 0.4328 and -0.5413, 0.9741 apart
        ("orpo", 0.5 + 0.5 * minus_log_sigmoid(0.9740769841), 1.0 + 0.5 * minus_log_sigmoid(-0.9740769841)),
    ],
)
def test_hard_and_soft_labels(name: str, right: float, wrong: float) -> None:
    """The loss of the label 1, that of the label 0, and between them their mean."""
    assert loss(name, 1.0) == pytest.approx(right)
    assert loss(name, 0.0) == pytest.approx(wrong)
    assert loss(name, 0.75) == pytest.approx(0.75 * right + 0.25 * wrong)


@pytest.mark.parametrize("name", LOSSES)
@pytest.mark.parametrize("p", [0.0, 0.3, 1.0])
def test_swapping_the_responses_and_the_label_changes_nothing(name: str, p: float) -> None:
    one = pairs(p)
    assert one.reference_B2 is not None and one.lengths_B2 is not None and one.differences_B is not None
    other = Pairs(
        one.policy_B2.flip(1),
        1.0 - one.p_chosen_B,
        one.reference_B2.flip(1),
        one.lengths_B2.flip(1),
        -one.differences_B,
    )
    torch.testing.assert_close(LOSSES[name].losses(other), LOSSES[name].losses(one))
    torch.testing.assert_close(LOSSES[name].rewards(other), LOSSES[name].rewards(one).flip(1))


def slope(name: str, p: float) -> Tensor:
    one = pairs(p, reference=name not in FREE)
    one.policy_B2.requires_grad_()
    LOSSES[name].losses(one).sum().backward()
    assert one.policy_B2.grad is not None
    return one.policy_B2.grad[0]


@pytest.mark.parametrize("name", LOSSES)
def test_a_certain_label_raises_the_better_response_above_the_other(name: str) -> None:
    """A step against the gradient moves log π(chosen) - log π(rejected) the label's way."""
    (up, down), (down_too, up_too) = slope(name, 1.0).tolist(), slope(name, 0.0).tolist()
    assert up < down
    assert up_too < down_too


def test_losses_of_means_divide_the_gradient_by_the_length() -> None:
    for name in ("sigmoid_norm", "ipo", "simpo"):
        chosen, rejected = slope(name, 1.0).tolist()
        assert chosen * 2 == pytest.approx(-rejected * 4)


def test_the_odds_of_a_certain_response_are_finite() -> None:
    policy_B2 = torch.tensor([[0.0, -80.0]], requires_grad=True)
    value = Orpo(0.1).losses(Pairs(policy_B2, torch.tensor([0.5]), lengths_B2=torch.ones(1, 2)))
    value.sum().backward()
    assert policy_B2.grad is not None
    assert bool(torch.isfinite(value).all()) and bool(torch.isfinite(policy_B2.grad).all())


def test_what_a_loss_lacks_is_said() -> None:
    bare = Pairs(torch.zeros(1, 2), torch.ones(1), torch.zeros(1, 2))
    for name in ("sigmoid_norm", "ipo", "simpo", "orpo"):
        with pytest.raises(ValueError, match="no lengths"):
            LOSSES[name].losses(bare)
    with pytest.raises(ValueError, match="no differences"):
        Odpo(0.5).losses(bare)
    for wrong in (lambda: SimPo(1.0, -1.0), lambda: Odpo(1.0, -1.0)):
        with pytest.raises(ValueError, match=">= 0"):
            wrong()
