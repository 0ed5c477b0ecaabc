import math

import pytest
import torch

from preceptor.objectives.log_probs import token_log_probs


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
