"""Equal but for rounding: a tolerance that follows the precision and the size of the numbers."""

import torch
from torch import Tensor


def assert_equal_but_for_rounding(found: Tensor, expected: Tensor, roundings: float = 100.0) -> None:
    """No number is off by more than so many units in the last place of the largest one.

    Sums of another order are off by a few roundings; what is computed wrongly by millions (of fp32's).
    """
    assert found.shape == expected.shape
    found, expected = found.detach(), expected.detach()
    limit = roundings * torch.finfo(expected.dtype).eps * float(expected.abs().max())
    far = float((found - expected).abs().max())
    assert far <= limit, f"off by {far:.3g}, {limit:.3g} is rounding"
