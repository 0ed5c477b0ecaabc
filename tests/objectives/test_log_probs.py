import math

import pytest
import torch

from preceptor.objectives.log_probs import POSITIONS_AT_ONCE, head_log_probs, token_log_probs


def test_by_hand() -> None:
    logits = torch.tensor([[0.0, math.log(3.0)], [math.log(4.0), 0.0]])
    result = token_log_probs(logits, torch.tensor([1, 1]))
    torch.testing.assert_close(result, torch.tensor([math.log(3 / 4), math.log(1 / 5)]))


def test_temperature_divides_the_logits() -> None:
    logits = torch.tensor([[0.0, math.log(3.0)]])
    result = token_log_probs(logits, torch.tensor([1]), temperature=0.5)
    torch.testing.assert_close(result, torch.tensor([math.log(9 / 10)]))


def test_the_logits_are_left_alone() -> None:
    logits = torch.tensor([[1.0, 2.0]])
    token_log_probs(logits, torch.tensor([0]), temperature=0.5)
    assert logits.tolist() == [[1.0, 2.0]]


def test_shapes_and_temperature_are_checked() -> None:
    with pytest.raises(ValueError, match="do not fit"):
        token_log_probs(torch.zeros(2, 3), torch.zeros(3, dtype=torch.long))
    with pytest.raises(ValueError, match="positive"):
        token_log_probs(torch.zeros(2, 3), torch.zeros(2, dtype=torch.long), temperature=0.0)


def test_log_probs_from_the_head_are_those_of_its_logits_with_their_gradient() -> None:
    generator = torch.Generator().manual_seed(0)
    count = 2 * POSITIONS_AT_ONCE + 3
    weight = torch.randn(50, 8, generator=generator)
    tokens = torch.randint(0, 50, (count,), generator=generator)
    upstream = torch.randn(count, generator=generator)
    found: list[tuple[torch.Tensor, torch.Tensor]] = []
    for compute in (
        lambda hidden: head_log_probs(hidden, weight, tokens, 0.7),
        lambda hidden: token_log_probs(hidden @ weight.T, tokens, 0.7),
    ):
        hidden = torch.randn(count, 8, generator=torch.Generator().manual_seed(1), requires_grad=True)
        log_probs = compute(hidden)
        (log_probs * upstream).sum().backward()
        assert hidden.grad is not None
        found.append((log_probs.detach(), hidden.grad))
    for one, other in zip(*found, strict=True):
        torch.testing.assert_close(one, other, atol=1e-5, rtol=1e-5)


def test_the_head_takes_no_nonsense() -> None:
    with pytest.raises(ValueError, match="fit"):
        head_log_probs(torch.zeros(2, 3), torch.zeros(5, 3), torch.zeros(3, dtype=torch.long))
    with pytest.raises(ValueError, match="positive"):
        head_log_probs(torch.zeros(1, 3), torch.zeros(5, 3), torch.zeros(1, dtype=torch.long), 0.0)
