"""Gradients of parts: side by side, one by one, and of the whole."""

import threading
from collections.abc import Iterator

import pytest
import torch
from torch import Tensor

from preceptor.training.gradients import MOST_PARAMETERS, accumulate

threads: set[int] = set()
"""Threads in which parts were computed."""
PARTS = [range(0, 3), range(3, 4), range(4, 9), range(9, 10)]


@pytest.fixture(autouse=True)
def two_threads() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)


def learners() -> tuple[torch.nn.Linear, torch.nn.Linear]:
    """A layer that learns, and one that no loss depends on."""
    torch.manual_seed(0)
    return torch.nn.Linear(4, 1), torch.nn.Linear(2, 2)


def gradients_of(*, one_by_one: bool, most_parameters: int = MOST_PARAMETERS) -> tuple[list[int], list[Tensor | None]]:
    layer, unused = learners()
    inputs = torch.randn(10, 4, generator=torch.Generator().manual_seed(1))

    def work(part: range) -> tuple[Tensor, int]:
        threads.add(threading.get_ident())
        return layer(inputs[part.start : part.stop]).square().sum(), len(part)

    parameters = [*layer.parameters(), *unused.parameters()]
    facts = accumulate(work, PARTS, parameters, one_by_one=one_by_one, most_parameters=most_parameters)
    return facts, [parameter.grad for parameter in parameters]


def test_parts_give_the_gradient_of_the_whole() -> None:
    layer, _ = learners()
    layer(torch.randn(10, 4, generator=torch.Generator().manual_seed(1))).square().sum().backward()
    for one_by_one in (False, True):
        facts, grads = gradients_of(one_by_one=one_by_one)
        assert facts == [3, 1, 5, 1]
        for grad, parameter in zip(grads, layer.parameters(), strict=False):
            torch.testing.assert_close(grad, parameter.grad)
        assert grads[2:] == [None, None]


def test_the_sum_is_the_same_every_time() -> None:
    _, first = gradients_of(one_by_one=False)
    for _ in range(20):
        _, again = gradients_of(one_by_one=False)
        assert all(
            torch.equal(a, b) for a, b in zip(first[:2], again[:2], strict=True) if a is not None and b is not None
        )


def test_a_large_model_is_not_computed_side_by_side() -> None:
    _, expected = gradients_of(one_by_one=True)
    threads.clear()
    _, grads = gradients_of(one_by_one=False, most_parameters=3)
    assert threads == {threading.get_ident()}
    gradients_of(one_by_one=False)
    assert len(threads) > 1
    assert all(
        torch.equal(a, b) for a, b in zip(expected[:2], grads[:2], strict=True) if a is not None and b is not None
    )
