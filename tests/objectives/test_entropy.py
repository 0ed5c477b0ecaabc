"""Entropies and their gradients, against a hand-derived number and autograd on the plain formula."""

import math

import pytest
import torch
from torch import Tensor

from preceptor.objectives.entropy import head_log_probs_and_entropies, token_entropies
from preceptor.objectives.log_probs import POSITIONS_AT_ONCE, head_log_probs


def plain(logits_NV: Tensor, temperature: float) -> Tensor:
    log_shares_NV = torch.log_softmax(logits_NV / temperature, dim=-1)
    return -(log_shares_NV.exp() * log_shares_NV).sum(dim=-1)


def test_by_hand() -> None:
    logits = torch.tensor([[0.0, math.log(3.0)], [0.0, 0.0], [0.0, -math.inf]], requires_grad=True)
    entropies = token_entropies(logits)
    expected = [-(0.25 * math.log(0.25) + 0.75 * math.log(0.75)), math.log(2.0), 0.0]
    assert entropies.tolist() == pytest.approx(expected)
    entropies.sum().backward()
    assert logits.grad is not None
    slope = -0.25 * (math.log(0.25) + expected[0])  # ∂H / ∂z = -p (log p + H)
    assert logits.grad[0].tolist() == pytest.approx([slope, -slope])
    assert logits.grad[1:].tolist() == [[0.0, 0.0], [0.0, 0.0]]


def test_temperature_divides_the_logits() -> None:
    hot = token_entropies(torch.tensor([[0.0, 2.0 * math.log(3.0)]]), temperature=2.0)
    assert hot.tolist() == pytest.approx([-(0.25 * math.log(0.25) + 0.75 * math.log(0.75))])


@pytest.mark.parametrize("from_head", [False, True])
def test_gradients_are_those_of_the_plain_formula(from_head: bool) -> None:
    generator = torch.Generator().manual_seed(0)
    count = 2 * POSITIONS_AT_ONCE + 3
    weight = torch.randn(50, 8, generator=generator)
    tokens = torch.randint(0, 50, (count,), generator=generator)
    upstream, of_log_probs = torch.randn(2, count, generator=generator)

    def own(hidden: Tensor) -> tuple[Tensor, Tensor]:
        if from_head:
            return head_log_probs_and_entropies(hidden, weight, tokens, 0.7)
        return head_log_probs(hidden, weight, tokens, 0.7), token_entropies(hidden @ weight.T, 0.7)

    def by_formula(hidden: Tensor) -> tuple[Tensor, Tensor]:
        logits = hidden @ weight.T
        log_probs = torch.log_softmax(logits / 0.7, dim=-1).gather(1, tokens[:, None]).squeeze(1)
        return log_probs, plain(logits, 0.7)

    found: list[tuple[Tensor, Tensor, Tensor]] = []
    for compute in (own, by_formula):
        hidden = torch.randn(count, 8, generator=torch.Generator().manual_seed(1), requires_grad=True)
        log_probs, entropies = compute(hidden)
        (entropies * upstream + log_probs * of_log_probs).sum().backward()
        assert hidden.grad is not None
        found.append((log_probs.detach(), entropies.detach(), hidden.grad))
    for one, other in zip(*found, strict=True):
        torch.testing.assert_close(one, other, atol=1e-5, rtol=1e-5)


def test_without_a_gradient_nothing_is_kept() -> None:
    hidden = torch.randn(3, 4, generator=torch.Generator().manual_seed(0))
    log_probs, entropies = head_log_probs_and_entropies(hidden, torch.eye(4), torch.tensor([0, 1, 2]))
    assert not log_probs.requires_grad and not entropies.requires_grad
    assert entropies.tolist() == pytest.approx(plain(hidden, 1.0).tolist())
    assert len(token_entropies(torch.zeros(0, 4))) == 0


def test_shapes_are_checked() -> None:
    with pytest.raises(ValueError, match="fit"):
        head_log_probs_and_entropies(torch.zeros(2, 3), torch.zeros(5, 3), torch.zeros(3, dtype=torch.long))
