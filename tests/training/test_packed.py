"""Packed log-probabilities and their gradients against one sequence at a time."""

import pytest
import torch
from torch import Tensor

from conftest import make_model
from preceptor.backends.transformers.model import LocalModel
from preceptor.training.packed import TokenGroup, packed_log_probs
from tolerance import assert_equal_but_for_rounding

GROUPS = [
    TokenGroup((5, 6, 7, 8, 9), ((10, 11, 12), (13,), (14, 15, 16, 17, 18, 19))),
    TokenGroup((20, 21), ((22, 23), (22, 24, 25))),
]


def plain_log_probs(model: LocalModel, groups: list[TokenGroup], temperature: float) -> Tensor:
    """Slow and plain: each sequence by itself, a full softmax at every place."""
    parts: list[Tensor] = []
    for group in groups:
        for response in group.responses:
            ids = torch.tensor([[*group.prompt, *response]])
            log_probs = torch.log_softmax(model.model(ids).logits[0] / temperature, dim=-1)
            start = len(group.prompt) - 1
            parts += [log_probs[start + i, token][None] for i, token in enumerate(response)]
    return torch.cat(parts)


@pytest.mark.parametrize("temperature", [1.0, 0.7])
def test_values_equal_separate_sequences(tiny: LocalModel, temperature: float) -> None:
    found, expected = packed_log_probs(tiny.model, GROUPS, temperature), plain_log_probs(tiny, GROUPS, temperature)
    assert_equal_but_for_rounding(found, expected)


def test_gradients_equal_separate_sequences() -> None:
    gradients: list[Tensor] = []
    for compute in (lambda m: packed_log_probs(m.model, GROUPS, 0.9), lambda m: plain_log_probs(m, GROUPS, 0.9)):
        model = make_model()
        log_probs = compute(model)
        (log_probs * torch.linspace(-1, 1, len(log_probs))).sum().backward()
        gradients.append(torch.cat([p.grad.flatten() for p in model.model.parameters()]))
    torch.testing.assert_close(gradients[0], gradients[1], atol=1e-4, rtol=1e-4)


def test_order_and_company_change_nothing(tiny: LocalModel) -> None:
    together = packed_log_probs(tiny.model, GROUPS, 1.0)
    alone = torch.cat([packed_log_probs(tiny.model, [group], 1.0) for group in GROUPS])
    assert_equal_but_for_rounding(together, alone)


def test_an_empty_response_is_refused(tiny: LocalModel) -> None:
    with pytest.raises(ValueError, match="empty"):
        packed_log_probs(tiny.model, [TokenGroup((1, 2), ((),))], 1.0)
