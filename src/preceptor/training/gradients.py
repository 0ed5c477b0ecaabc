"""Computes the gradients of a batch in parts."""

import math
from collections.abc import Callable, Sequence
from typing import TypeVar

import torch
from torch import Tensor

from preceptor.backends.transformers.cores import side_by_side, workers
from preceptor.backends.transformers.forest import in_parts

MOST_PARAMETERS = 1 << 25
"""With more trainable parameters, parts are computed one by one, since the gradients of each need as much memory."""

T = TypeVar("T")
R = TypeVar("R")


def parts_to_learn(sizes: Sequence[int], at_once: int, device: torch.device, count: int = 1) -> list[range]:
    """Divides items, given by their sizes, in order into `count` parts, or into more if the parts computed in parallel
    would together exceed `at_once`.
    """
    size = max(1, math.ceil(len(sizes) / count))
    fitting = in_parts(sizes, at_once // workers(device), workers(device))
    return [range(i, min(i + size, part.stop)) for part in fitting for i in range(part.start, part.stop, size)]


def accumulate(
    work: Callable[[T], tuple[Tensor, R]],
    parts: Sequence[T],
    parameters: Sequence[Tensor],
    *,
    one_by_one: bool,
    most_parameters: int = MOST_PARAMETERS,
) -> list[R]:
    """Adds up the gradients of the losses of a batch's parts, always in the parts' order, so the sum is reproducible.

    Args:
        work: returns a part's loss, and further results for the caller.
        one_by_one: computes no parts in parallel, to save memory.
        most_parameters: of a model whose parts are computed in parallel; each part has gradients of its own.

    Returns: the further results of `work`, for each part.
    """
    device = parameters[0].device
    large = sum(parameter.numel() for parameter in parameters) > most_parameters
    facts: list[R] = []
    if one_by_one or large or workers(device) == 1:
        for part in parts:
            loss, fact = work(part)
            loss.backward()
            facts.append(fact)
        return facts

    def gradients(part: T) -> tuple[Sequence[Tensor | None], R]:
        loss, fact = work(part)
        return torch.autograd.grad(loss, parameters, allow_unused=True), fact

    for grads, fact in side_by_side(device, gradients, parts):
        for parameter, grad in zip(parameters, grads, strict=True):
            if grad is not None:
                parameter.grad = grad if parameter.grad is None else parameter.grad + grad
        facts.append(fact)
    return facts
